"""Figures 13 to 20 of the thesis with every hypernetwork of this study, and the landscape."""


def draw(results, folder):
    pass
