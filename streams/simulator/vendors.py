"""Vendors' records as typed structs. Field names are the vendors', in pinyin or English."""

from __future__ import annotations

from msgspec import Struct

Number = float | str | None


class Call(Struct, frozen=True, gc=False):
    """110 接警单"""

    jjdbh: str
    gxsj: str
    bjsj: str
    jjsj: str
    bjlbdm: str
    bjlbmc: str
    bjnr: str
    sfdz: str
    jd: Number
    wd: Number
    zbx: str
    bjdh: str
    jjdj: int
    glzjjdbh: str
    cfbjlx: str
    sfbm: str
    sfwx: str
    hbzt: str
    hbjjdbh: str
    cxbz: str
    sqq: str
    swp: str
    bkry: str
    ryss: str


class Caller(Struct, frozen=True, gc=False):
    """Who called 12345"""

    phone: str
    name: str


class Location(Struct, frozen=True, gc=False):
    """Where a ticket says it is"""

    lng: float
    lat: float
    crs: str = "WGS84"


class Related(Struct, frozen=True, gc=False):
    """The ticket a ticket belongs to"""

    ticket_no: str
    type: str


class Ticket(Struct, frozen=True):
    """12345 工单"""

    ticket_no: str
    version: int
    channel: str
    accept_time: str
    caller: Caller
    title: str
    content: str
    category: list[str]
    category_code: str
    address: str
    location: Location | None
    unit: str
    urgency: str
    related: Related | None
    status: str


class Finding(Struct, frozen=True):
    """Grid report"""

    taskcode: str
    rev: int
    reporter_id: str
    event_time: int
    report_time: int
    type: str
    main: str
    sub: str
    grid_code: str
    x: float
    y: float
    desc: str
    address: str
    photos: list[str]
    dup_of: str
    deleted: bool


class Position(Struct, frozen=True, gc=False):
    """Where a device hangs"""

    lon: float
    lat: float
    datum: str = "WGS84"


class Reading(Struct, frozen=True, gc=False):
    """Sensor alert"""

    alertId: str  # noqa: N815  the vendor's spelling
    seq: int
    deviceId: str  # noqa: N815
    deviceType: str  # noqa: N815
    metric: str
    value: float
    unit: str
    threshold: float
    status: str
    raisedAt: str  # noqa: N815
    sentAt: str  # noqa: N815
    position: Position
    install: str
