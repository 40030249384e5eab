"""The kinds of guesses, each as a class here and as a script beside it that lets the reader make the guess.

A kind knows what the page needs for the question (``scene``), what a guess may be (``guess``), what a truth may be
(``truth``), how the page gets the truth (``told``), and when a guess counts as right (``right``).
"""
