#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

// Calls a function of Python's, add(sums), with both rows of the sums (2, n), which it changes.
void add_in_python(void* context, double* sums, double* lost, index_t n) {
    const py::gil_scoped_acquire lock;
    const py::function& add = *static_cast<const py::function*>(context);
    array<double> both({index_t{2}, n});
    const std::size_t bytes = static_cast<std::size_t>(n) * sizeof(double);
    std::memcpy(both.mutable_data(), sums, bytes);
    std::memcpy(both.mutable_data() + n, lost, bytes);
    add(both);
    std::memcpy(sums, both.data(), bytes);
    std::memcpy(lost, both.data() + n, bytes);
}

// What kernels called by this thread have a part of while it lives, in a `with` block of Python's.
class SharedState {
public:
    SharedState(index_t first, index_t whole, py::function add) : add_(std::move(add)) {
        share_.first = first;
        share_.whole = whole;
        share_.add = add_in_python;
        share_.context = &add_;
    }
    void enter() {
        before_ = shared_state;
        shared_state = &share_;
    }
    void leave(const py::args&) { shared_state = before_; }

private:
    py::function add_;
    Share share_;
    const Share* before_ = nullptr;
};

}  // namespace

void register_share(py::module_& m) {
    py::class_<SharedState>(m, "SharedState")
        .def(py::init<index_t, index_t, py::function>(), py::arg("first"), py::arg("whole"),
             py::arg("add"))
        .def("__enter__", &SharedState::enter)
        .def("__exit__", &SharedState::leave);
}

}  // namespace enfilt::bindings
