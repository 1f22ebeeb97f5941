"""Why a process ended, in words; and the last start that failed, kept for the doctor."""
