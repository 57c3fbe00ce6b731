"""What a report says, in the words of callers, tickets and grid workers. Short templates around place and category."""

from __future__ import annotations

from collections.abc import Sequence

_INVALID = (
    "无声电话，回拨无人接听。",
    "误拨，报警人称无警情。",
    "醉酒人员反复拨打，无具体警情。",
    "儿童误拨。",
    "骚扰电话，已告诫。",
)
_OPEN = ("报警人称", "报警称：", "群众报警：", "来电称", "路人报警称")
_END = ("，请派员处理。", "，现场人员较多。", "，双方情绪激动。", "，暂无人员受伤。", "，要求尽快到场。", "。")
_BY_TOP = {
    "治安": ("发生", "有人涉嫌"),
    "刑事": ("发生", "刚刚发生"),
    "交通": ("处发生", "附近出现"),
    "火警": ("发生", "冒烟，疑似"),
    "纠纷": ("因故发生", "再次发生"),
    "求助": ("需要帮助：", "请求救助："),
    "群众服务": ("请求服务：", "反映"),
    "举报": ("举报：", "匿名反映"),
}
_PLEA = ("市民来电反映", "来电人反映", "市民投诉", "市民咨询", "网民留言反映")
_ASK = (
    "，长期无人处理，请核实。",
    "，严重影响居民生活，希望尽快解决。",
    "，已多次反映未果。",
    "，请相关部门处理并回复。",
    "。",
)
_SEEN = ("巡查发现", "网格员上报：", "日常巡查中发现", "居民反映，现场核实")


def leaf(path: str) -> str:
    """The finest level of a category path."""
    return path.rpartition("/")[2]


def calls(paths: Sequence[str], addresses: Sequence[str], invalid: Sequence[int], words: Sequence[int]) -> list[str]:
    """Contents of 110 calls; `words` (any number) chooses the template."""
    parts = {path: (_BY_TOP.get(path.partition("/")[0], ("发生", "出现")), leaf(path)) for path in set(paths)}
    out = []
    for path, address, silent, word in zip(paths, addresses, invalid, words, strict=True):
        if silent:
            out.append(_INVALID[word % 5])
            continue
        verbs, what = parts[path]
        out.append(f"{_OPEN[word % 5]}{address}{verbs[word & 1]}{what}{_END[word % 6]}")
    return out


def tickets(paths: Sequence[str], addresses: Sequence[str], words: Sequence[int]) -> tuple[list[str], list[str]]:
    """Titles and contents of 12345 tickets; the place is named in both."""
    leaves = {path: leaf(path) for path in set(paths)}
    rows = list(zip([leaves[path] for path in paths], addresses, words, strict=True))
    titles = [f"{address}{what}问题" for what, address, _ in rows]
    return titles, [f"{_PLEA[word % 5]}：{address}存在{what}问题{_ASK[word % 5]}" for what, address, word in rows]


def findings(paths: Sequence[str], addresses: Sequence[str], words: Sequence[int]) -> list[str]:
    """Descriptions of grid reports."""
    leaves = {path: leaf(path) for path in set(paths)}
    return [
        f"{_SEEN[word % 4]}{address}{leaves[path]}" for path, address, word in zip(paths, addresses, words, strict=True)
    ]
