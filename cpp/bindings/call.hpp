// Calls of kernels from Python: without the interpreter's lock, and so that Ctrl-C ends them.
#pragma once

#include <enfilt/problem.hpp>
#include <pybind11/pybind11.h>

#include "../kernels/dispatch.hpp"

namespace enfilt::bindings {

namespace py = pybind11;

// Python runs the handlers of signals on its main thread; other threads need not look for them.
inline unsigned long main_thread = 0;
inline void remember_main_thread() {
    main_thread = py::module_::import("threading").attr("main_thread")().attr("ident").cast<unsigned long>();
}

// Runs the handlers of signals that have come; true where one of them has raised an exception.
inline bool signal_raised(void*) {
    const PyGILState_STATE state = PyGILState_Ensure();
    const bool raised = PyErr_CheckSignals() != 0;
    PyGILState_Release(state);
    return raised;
}

// What kernels that this thread calls have a part of (bind_share.cpp), or null.
inline thread_local const Share* shared_state = nullptr;

// Runs `body` without the interpreter's lock. Where a signal's handler raises (Ctrl-C), the kernels
// stop where they are, and its exception comes out of this.
template <class Body>
void released(Body&& body) {
    Interrupt interrupt;
    interrupt.asked = signal_raised;
    const bool listens = PyThread_get_thread_ident() == main_thread;
    {
        const py::gil_scoped_release release;
        const auto run = [](void* context) { (*static_cast<Body*>(context))(); };
        try {
            level().interruptible(listens ? &interrupt : nullptr, shared_state, run, &body);
        } catch (...) {
            if (interrupt.stop == 0) throw;
        }
    }
    if (interrupt.stop != 0) throw py::error_already_set();
}

// Small ensembles of a batch go to a thread each; a large one is shared out by its kernel.
template <class Body>
void for_each_ensemble(index_t count, index_t dim, Body&& body) {
    const auto run = [](void* context, index_t b) { (*static_cast<Body*>(context))(b); };
    level().share_out(count, dim <= 8192, run, &body);
}

}  // namespace enfilt::bindings
