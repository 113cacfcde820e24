"""Splits, dividends and changes of ticker: where they come from, and what they do to a series of bars.

Bars are kept as they were traded. An adjusted series is a view of them as of a date (`adjusted`), and so is a
series of total returns (`total_return`); neither is ever written back.
"""

from data.corporate_actions.action import ActionKind, CorporateAction
from data.corporate_actions.adjusting import adjusted, continuous, total_return
from data.corporate_actions.as_traded import AsTraded, NoActions, unadjusted
from data.corporate_actions.file_source import FileActionSource
from data.corporate_actions.source import CorporateActionSource
from data.corporate_actions.yahoo_source import YahooActionSource

__all__ = [
    "ActionKind",
    "AsTraded",
    "CorporateAction",
    "CorporateActionSource",
    "FileActionSource",
    "NoActions",
    "YahooActionSource",
    "adjusted",
    "continuous",
    "total_return",
    "unadjusted",
]
