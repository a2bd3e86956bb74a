"""Names that a user knows a layer by: the module path, where the exporter left one."""

from __future__ import annotations

import ast

import onnx_ir as ir

_SCOPES = "pkg.torch.onnx.name_scopes"


def layer_name(node: ir.Node) -> str:
    """The module path of a layer: from its weight's name, the node's scopes, or the node's own name."""
    return _from_weight(node) or _from_scopes(node) or _from_path(node.name or "") or _fallback(node)


def _from_weight(node: ir.Node) -> str | None:
    weight = node.inputs[1] if len(node.inputs) > 1 else None
    name = weight.name if weight is not None and weight.name else ""
    module, _, last = name.rpartition(".")
    return module if last == "weight" and module and "::" not in name else None


def _from_scopes(node: ir.Node) -> str | None:
    """torch's dynamo exporter: "['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d']"."""
    text = node.metadata_props.get(_SCOPES)
    if not text:
        return None
    try:
        scopes = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    modules = [str(scope) for scope in scopes[:-1] if scope]
    return modules[-1] if modules else None


def _from_path(name: str) -> str | None:
    """torch's TorchScript exporter: /layer1/layer1.0/conv1/Conv."""
    parts = [part for part in name.split("/") if part]
    if not name.startswith("/") or len(parts) < 2:
        return None
    path = ""
    for part in parts[:-1]:
        path = part if not path or part.startswith(path + ".") else f"{path}.{part}"
    return path


def _fallback(node: ir.Node) -> str:
    return node.name or node.outputs[0].name or node.op_type


def unique(names: list[str]) -> list[str]:
    """The names with #2, #3, ... behind repeated ones."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return result
