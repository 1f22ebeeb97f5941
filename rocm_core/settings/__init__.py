"""Options that are not given as arguments: from the environment, or from a file.

    argument > command-line flag > environment > .env > project file > user's file > default

Nothing is read before a model is loaded or an adapter made, and pydantic-settings is imported
only where something is set at all. Unset is never ``false`` and never ``None``: an option that
nobody sets is not in ``Settings.values``.
"""

from rocm_core.settings.effective import LIMITS, Plan, Settings, is_url, plan
from rocm_core.settings.sources import PREFIX, current_settings

__all__ = ["LIMITS", "PREFIX", "Plan", "Settings", "current_settings", "is_url", "plan"]
