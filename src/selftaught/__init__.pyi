"""The public face: every name that people and plug-ins may import from `selftaught`, and where it lives.

`__init__.py` reads this list, so that a name is imported only when it is asked for. Beside it are public
`selftaught.methods.objectives` and `selftaught.methods.parts`, with all that is in them.
"""

from selftaught.commands.estimator import SelfTaughtEncoder as SelfTaughtEncoder
from selftaught.commands.python import Run as Run
from selftaught.commands.python import check as check
from selftaught.commands.python import compare as compare
from selftaught.commands.python import evaluate as evaluate
from selftaught.commands.python import pretrain as pretrain
from selftaught.contracts.encoder import Encoder as Encoder
from selftaught.contracts.encoder import TokenEncoder as TokenEncoder
from selftaught.contracts.findings import Findings as Findings
from selftaught.contracts.method import Data as Data
from selftaught.contracts.method import Method as Method
from selftaught.contracts.method import Training as Training
from selftaught.judging.comparison import Comparison as Comparison
from selftaught.judging.predict import predict as predict
from selftaught.run.classifier import load_classifier as load_classifier
from selftaught.run.export import load_encoder as load_encoder
from selftaught.system import distributed as distributed
from selftaught.system import randomness as randomness
from selftaught.system.errors import UsageError as UsageError
from selftaught.system.precision import precise as precise

__version__: str
__all__: list[str]
