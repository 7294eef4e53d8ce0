"""Compiled networks as Python objects: ctypes over libcardinal_bridge.so."""

import ctypes

ERROR_BYTES = 16384


class GpuError(Exception):
    """What the runtime says is wrong."""


class Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_size_t)]


class Step(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("kernel", ctypes.c_char_p), ("flops", ctypes.c_double),
                ("bytes", ctypes.c_double)]


class Bridge:
    def __init__(self, path):
        self.library = ctypes.CDLL(str(path))
        self.library.cardinal_open.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p,
                                               ctypes.c_size_t]
        self.library.cardinal_close.argtypes = [ctypes.c_void_p]
        self.library.cardinal_close.restype = None
        self.library.cardinal_code.argtypes = [ctypes.c_void_p]
        self.library.cardinal_code.restype = ctypes.c_char_p
        self.library.cardinal_step_count.argtypes = [ctypes.c_void_p]
        self.library.cardinal_step_count.restype = ctypes.c_size_t
        self.library.cardinal_step_at.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        self.library.cardinal_step_at.restype = Step
        self.library.cardinal_run.argtypes = [ctypes.c_void_p, Buffer, Buffer, ctypes.c_void_p, ctypes.c_char_p,
                                              ctypes.c_size_t]
        self.library.cardinal_time_steps.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p,
                                                     ctypes.c_size_t]

    def call(self, function, *arguments):
        message = ctypes.create_string_buffer(ERROR_BYTES)
        if getattr(self.library, function)(*arguments, message, ERROR_BYTES) != 0:
            raise GpuError(message.value.decode(errors="replace"))

    def open(self, path, device=0):
        return Network(self, path, device)


class Network:
    def __init__(self, bridge, path, device):
        self.bridge = bridge
        self.handle = ctypes.c_void_p()
        bridge.call("cardinal_open", str(path).encode(), device, ctypes.byref(self.handle))

    def close(self):
        self.bridge.library.cardinal_close(self.handle)
        self.handle = ctypes.c_void_p()

    @property
    def code(self):
        return self.bridge.library.cardinal_code(self.handle).decode()

    @property
    def steps(self):
        library = self.bridge.library
        return [library.cardinal_step_at(self.handle, i) for i in range(library.cardinal_step_count(self.handle))]

    def run(self, x, y, stream):
        """X and Y are tensors on the GPU; STREAM is a CUDA stream's handle."""
        buffers = [Buffer(tensor.data_ptr(), tensor.numel() * tensor.element_size()) for tensor in (x, y)]
        self.bridge.call("cardinal_run", self.handle, *buffers, stream)

    def time_steps(self, repeats):
        seconds = (ctypes.c_double * len(self.steps))()
        self.bridge.call("cardinal_time_steps", self.handle, repeats, seconds)
        return list(seconds)
