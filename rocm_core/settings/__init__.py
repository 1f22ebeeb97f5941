"""Options that are not given as arguments: from the environment, or from a file.

    argument > command-line flag > environment > .env > project file > user's file > default

Nothing is read before a model is loaded or an adapter made. Unset is never ``false`` and never
``None``: an option that nobody sets is not in ``Settings.values``.
"""

from rocm_core.settings.effective import GENERATE, LIMITS, Plan, Settings, is_url, plan
from rocm_core.settings.names import PREFIX
from rocm_core.settings.sources import current_settings

__all__ = ["GENERATE", "LIMITS", "PREFIX", "Plan", "Settings", "current_settings", "is_url", "plan"]
