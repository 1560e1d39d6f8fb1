def write_report(folders, out, title=None):
    return out
