"""Options about what the program may do: capabilities, seccomp, devices, kernel parameters."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from attrs import frozen

from pyengine.errors import InvalidRequest, Unsupported
from pyengine.model.options_files import read_text
from pyengine.model.options_words import absolute_path, pairs, several, text, texts, word
from pyengine.model.spec import Device, DeviceRule

_CAPABILITY = re.compile(r"(?:CAP_)?[A-Z0-9_]{2,40}")
_RULE = re.compile(r"([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})", re.ASCII)
_CDI = re.compile(r"[a-zA-Z][\w.-]*(?:/[\w.-]+)+=\S+", re.ASCII)
_SYSCTL = re.compile(r"[a-z0-9_]+(?:[./][A-Za-z0-9_@:-]+)+", re.ASCII)
_NET_LINK = re.compile(r"net[./]\w+[./]\w+[./]eth\d+[./]", re.ASCII)
_KERNEL_IPC = frozenset(
    f"kernel.{name}"
    for name in (
        *("msgmax", "msgmnb", "msgmni", "sem"),
        *("shmall", "shmmax", "shmmni", "shm_rmid_forced"),
    )
)
_WORDS_OF_TRUTH = {"": True, "true": True, "1": True, "false": False, "0": False}


@frozen(cache_hash=True)
class SecurityOptions:
    """What was asked; `None` and, for *seccomp*, an empty text stand for "not given".

    *unconfined* are the security modules (``apparmor``, ``selinux``) that shall stay out.
    """

    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    seccomp: str = ""  # "default", "unconfined" or a profile's JSON text
    no_new_privileges: bool = False
    read_only: bool = False
    userns: str = ""  # as it is for who we are: the host's for root
    masked_paths: tuple[str, ...] | None = None
    readonly_paths: tuple[str, ...] | None = None
    sysctls: tuple[tuple[str, str], ...] = ()
    devices: tuple[Device, ...] = ()
    device_rules: tuple[DeviceRule, ...] = ()
    writable_cgroups: bool = False
    unconfined: tuple[str, ...] = ()


def capabilities(given: object, what: str) -> tuple[str, ...]:
    """Names as ``CAP_X``, or ``ALL``; whether the kernel has them is seen further on."""
    found = []
    for name in texts(given, what):
        upper = name.upper()
        if _CAPABILITY.fullmatch(upper) is None:
            raise InvalidRequest(what, name, expected="a capability such as 'NET_ADMIN', or 'ALL'")
        if upper in ("ALL", "CAP_ALL"):
            found.append("ALL")
        else:
            found.append(upper if upper.startswith("CAP_") else f"CAP_{upper}")
    return tuple(found)


def cap_add(given: object) -> tuple[str, ...]:
    """As `capabilities`."""
    return capabilities(given, "cap_add")


def cap_drop(given: object) -> tuple[str, ...]:
    """As `capabilities`."""
    return capabilities(given, "cap_drop")


def seccomp(given: object) -> str:
    """``default``, ``unconfined``, or a profile: a mapping, its JSON text, or its path (C52)."""
    if isinstance(given, Mapping):
        import json

        try:
            return json.dumps(given, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequest("seccomp", given, why=f"not JSON: {error}") from error
    if isinstance(given, str):
        if given in ("default", "builtin"):
            return "default"
        if given == "unconfined":
            return given
        if given.lstrip().startswith("{"):
            return _json(given)
        if "/" not in given and not given.endswith(".json"):
            expected = "'default', 'unconfined', or a profile: a mapping, JSON text or a path"
            raise InvalidRequest("seccomp", given, expected=expected)
    elif not isinstance(given, os.PathLike):
        raise InvalidRequest("seccomp", given, expected="a text, a path or a mapping")
    return _json(read_text(given, "seccomp"))


def _json(profile: str) -> str:
    import json

    try:
        value = json.loads(profile)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("seccomp", profile, why=f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidRequest("seccomp", profile, expected="a JSON object")
    return profile


def userns(given: object) -> str:
    """``host``, ``auto``, ``nomap`` or ``keep-id[:uid=…,gid=…]``; nothing is as it comes."""
    mode = text(given, "userns")
    word = mode.partition(":")[0]
    if word == "keep-id":
        from pyengine.model.id_layouts import keep_id

        keep_id(mode)
    elif mode not in ("", "host", "auto", "nomap") and word != "auto":
        raise InvalidRequest("userns", given, expected="'host', 'auto', 'keep-id' or 'nomap'")
    return mode


def paths(what: str, given: object) -> tuple[str, ...]:
    """Absolute, clean paths; an empty list means none, which is not the default (pitfall 8)."""
    return tuple(dict.fromkeys(absolute_path(one, what) for one in several(given, what)))


def masked_paths(given: object) -> tuple[str, ...]:
    """As `paths`."""
    return paths("masked_paths", given)


def readonly_paths(given: object) -> tuple[str, ...]:
    """As `paths`."""
    return paths("readonly_paths", given)


def sysctls(given: object) -> tuple[tuple[str, str], ...]:
    """Kernel parameters that belong to a namespace of the container, and no others (row C67)."""
    found: dict[str, str] = {}
    for name, value in pairs(given, "sysctls"):
        # segments are checked, so no '..' leads elsewhere (as in CVE-2022-0811)
        if _SYSCTL.fullmatch(name) is None:
            raise InvalidRequest("sysctls", name, expected="a name such as 'net.core.somaxconn'")
        if _namespace_of(name) is None:
            why = "it does not belong to a namespace of the container"
            expected = "net.*, fs.mqueue.*, kernel.msg*, kernel.sem or kernel.shm*"
            raise InvalidRequest("sysctls", name, expected=expected, why=why)
        if _NET_LINK.match(name):
            why = "which network eth0 is, is not known beforehand"
            raise InvalidRequest("sysctls", name, why=why)
        content = "" if value is None else word(value, f"sysctl {name}")
        if not content or not content.replace("\t", " ").isprintable():
            raise InvalidRequest(f"sysctl {name}", content, expected="one line of text")
        found[name] = content
    return tuple(found.items())


def _namespace_of(name: str) -> str | None:
    if name.startswith(("net.", "net/")):
        return "network"
    if name.startswith("fs.mqueue.") or name in _KERNEL_IPC:
        return "ipc"
    return None


def check_sysctls(asked: tuple[tuple[str, str], ...], *, network: str, ipc: str) -> None:
    """`InvalidRequest` where a parameter's namespace is the host's."""
    modes = {"network": network, "ipc": ipc}
    for name, _ in asked:
        namespace = _namespace_of(name)
        if namespace is not None and modes[namespace] == "host":
            raise InvalidRequest("sysctls", name, why=f"the {namespace} namespace is the host's")


def devices(given: object) -> tuple[Device, ...]:
    """``SOURCE[:TARGET[:rwm]]`` texts, or `Device` values (row C69)."""
    return tuple(_device(one) for one in several(given, "devices", "a list of texts"))


def _device(given: object) -> Device:
    if isinstance(given, Device):
        parts = [given.host, given.target, given.access]
    else:
        whole = text(given, "device")
        if _CDI.fullmatch(whole):
            remedy = "name its device files: 'SOURCE[:TARGET[:rwm]]'"
            raise Unsupported(f"the CDI device {whole!r}", "CDI is not built yet", remedy)
        parts = whole.split(":")
    if len(parts) == 2 and _is_access(parts[1]):
        parts = [parts[0], parts[0], parts[1]]
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise InvalidRequest("device", given, expected="'SOURCE[:TARGET[:rwm]]'")
    host = absolute_path(parts[0], "device")
    target = absolute_path(parts[1], "device") if len(parts) > 1 else host
    access = parts[2] if len(parts) == 3 else "rwm"
    if not _is_access(access):
        raise InvalidRequest("device", given, why="its access is made of r, w and m, once each")
    if target == "/":
        raise InvalidRequest("device", given, why="the destination can't be '/'")
    return Device(host, target, access)


def _is_access(word: str) -> bool:
    return bool(word) and set(word) <= set("rwm") and len(set(word)) == len(word)


def device_rules(given: object) -> tuple[DeviceRule, ...]:
    """``"c 1:3 rwm"`` texts, or `DeviceRule` values (row C70)."""
    found = []
    for one in several(given, "device_cgroup_rules"):
        if isinstance(one, DeviceRule):
            numbers = ":".join("*" if n is None else str(n) for n in (one.major, one.minor))
            one = f"{one.kind} {numbers} {one.access}"
        if (match := _RULE.fullmatch(text(one, "device_cgroup_rules"))) is None:
            raise InvalidRequest("device_cgroup_rules", one, expected="such as 'c 1:3 rwm'")
        kind, major, minor, access = match.groups()
        rule = DeviceRule(kind, _device_number(one, major), _device_number(one, minor), access)
        found.append(rule)
    return tuple(found)


def _device_number(given: object, digits: str) -> int | None:
    if digits == "*":
        return None
    if len(digits) > 10 or int(digits) >= 1 << 32:
        raise InvalidRequest("device_cgroup_rules", given, why="no device has such a number")
    return int(digits)


def security_opt(given: object) -> dict[str, object]:
    """The texts of ``--security-opt`` as fields of `SecurityOptions` (rows C52 to C57)."""
    found: dict[str, object] = {}
    unconfined: list[str] = []
    for one in texts(given, "security_opt"):
        name, separator, value = one.partition("=")
        if not separator:
            name, _, value = one.partition(":")  # docker still takes its old form
        if (name, value) in (("apparmor", "unconfined"), ("label", "disable")):
            unconfined.append("apparmor" if name == "apparmor" else "selinux")
            continue
        for field, content in _security_word(one, name, value).items():
            if found.setdefault(field, content) != content:
                raise InvalidRequest("security_opt", one, why=f"{name} is given twice")
    if unconfined:
        found["unconfined"] = tuple(unconfined)
    return found


def _security_word(given: str, name: str, value: str) -> dict[str, object]:
    if name == "seccomp":
        return {"seccomp": seccomp(value)}
    if name in ("no-new-privileges", "writable-cgroups"):
        if value not in _WORDS_OF_TRUTH:
            raise InvalidRequest("security_opt", given, expected=f"{name}=true or {name}=false")
        return {name.replace("-", "_"): _WORDS_OF_TRUTH[value]}
    if name == "systempaths":
        if value != "unconfined":
            raise InvalidRequest("security_opt", given, expected="systempaths=unconfined")
        return {"masked_paths": (), "readonly_paths": ()}
    if name in ("apparmor", "label") and value:
        missing = "profiles and labels of security modules are not built yet"
        raise Unsupported(f"security_opt {given!r}", missing, "leave it out")
    known = "seccomp, no-new-privileges, systempaths, writable-cgroups, apparmor, label"
    raise InvalidRequest("security_opt", given, expected=known)
