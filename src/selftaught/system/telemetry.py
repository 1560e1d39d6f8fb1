"""What packages of other people would report to their makers, of themselves and of the machine: switched off here."""

import os

OFF = {  # variables of the environment, which each package reads when it is imported or first used
    "GRADIO_ANALYTICS_ENABLED": "False",  # of trackio's page
    "HF_HUB_DISABLE_TELEMETRY": "1",  # torch's version and who runs the process, in each request to the Hub
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",  # whose own function comes too late: a number of this machine is kept by then
    "WANDB_ERROR_REPORTING": "false",
}


def switch_off() -> None:
    """To be called before such a package is imported; what the user has set stays."""
    for name, value in OFF.items():
        os.environ.setdefault(name, value)
