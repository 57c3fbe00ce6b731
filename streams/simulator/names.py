"""Names of a city that does not exist: districts, streets, roads, compounds. Names are unique within a kind."""

from __future__ import annotations

import numpy as np

DISTRICTS = (
    "东城区", "西城区", "江岸区", "南湖区", "北山区", "高新区", "临港区", "河东区",
    "河西区", "清泉区", "云台区", "长丰区", "龙潭区", "白鹤区", "青浦湾区", "新安区",
)  # fmt: skip
FIRST = (
    "安宝昌长朝春德东丰福光广桂海和恒红宏华怀惠吉嘉建江金锦景康兰"
    "乐莲临龙鹿明南宁平青清庆仁荣瑞胜盛曙松泰天同万文吴西祥新兴"
)
SECOND = (
    "安北宾昌城川德东方丰港光桂海河华湖虹江景康林岭龙门民明南宁平"
    "坪浦泉山善胜塘庭湾文溪西霞乡祥新兴阳业义益园源月云泽州竹庄"
)
ROAD_ENDS = ("路", "街", "大道", "东路", "西路", "中路", "巷")
COMPOUND_ENDS = (
    "小区", "花园", "新村", "家园", "公寓", "名邸", "苑", "里",
    "佳园", "华庭", "雅居", "一村", "二村", "三村", "广场", "府",
)  # fmt: skip
SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗"


def unique_names(rng: np.random.Generator, n: int, ends: tuple[str, ...]) -> list[str]:
    """`n` distinct names of two characters and an ending, in a seeded order.

    There are len(FIRST) * len(SECOND) * len(ends) of them; ValueError when more are asked for.
    """
    room = len(FIRST) * len(SECOND) * len(ends)
    if n > room:
        raise ValueError(f"only {room} names, {n} wanted")
    chosen = rng.choice(room, n, replace=False)
    stems, end = np.divmod(chosen, len(ends))
    first, second = np.divmod(stems, len(SECOND))
    return [
        FIRST[a] + SECOND[b] + ends[e] for a, b, e in zip(first.tolist(), second.tolist(), end.tolist(), strict=True)
    ]
