"""What a notebook and IPython show of our objects; nothing happens outside of them.

    shell      the IPython that runs this program, if one does; never imports it
    table      rows, or facts of one object, as text and as HTML; pure
    report     a list that is shown as such a table
    loading    one display of a load, from its begin to a line that stays
    interrupts marks what IPython is to tell in a few lines
    traceback  which lines of a traceback a reader needs

Each module is imported when there is something to show, not before.
"""
