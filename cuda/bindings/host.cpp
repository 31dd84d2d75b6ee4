// For the module whose kernels run on the CPU: no driver and no device, but kernels that tell
// whether the launcher runs bodies as a GPU would, and notices what a GPU would suffer from.
#include <enfilt_cuda/host_launcher.hpp>
#include <enfilt_cuda/sums.hpp>

#include <string>
#include <vector>

#include "arguments.hpp"

namespace enfilt::cuda::bindings {

namespace {

// Every thread writes its number, and reads its neighbour's after a barrier, or without one.
struct Neighbours {
    static constexpr unsigned threads = 96;
    bool with_barrier;
    double* out;  // (rows, blocks, threads)

    template <class Context>
    void operator()(Context& c) const {
        double* const shared = c.template shared<double>();
        shared[c.thread()] = 1000.0 * c.block() + c.thread();
        if (with_barrier) c.sync();
        out[(c.row() * c.blocks() + c.block()) * threads + c.thread()] =
            shared[(c.thread() + 1) % threads];
    }
};

// The sum of a block by shuffles, added up over blocks atomically.
struct Total {
    static constexpr unsigned threads = 128;
    double* out;

    template <class Context>
    void operator()(Context& c) const {
        const double sum = block_sum(c, threads, 1.0 + c.thread(), c.template shared<double>());
        if (c.thread() == 0) c.add(out, sum);
    }
};

// Each block writes down which one of all it was: a kernel must not depend on that.
struct Order {
    static constexpr unsigned threads = 32;
    std::vector<unsigned>* out;

    template <class Context>
    void operator()(Context& c) const {
        if (c.thread() == 0) out->push_back(c.row() * c.blocks() + c.block());
    }
};

// Half of the threads wait for the others, which do not come.
struct Deadlock {
    static constexpr unsigned threads = 64;
    template <class Context>
    void operator()(Context& c) const {
        if (c.thread() % 2) c.sync();
    }
};

struct Overflow {
    static constexpr unsigned threads = 32;
    template <class Context>
    void operator()(Context& c) const {
        c.template shared<float>()[c.thread()] = 0;
    }
};

template <class Body>
void start_alone(Grid grid, std::size_t shared_bytes, const Body& body, address stream) {
    Launches launches;
    launches(grid, shared_bytes, body);
    start(launches.all.front(), stream);
}

}  // namespace

void register_device(py::module_& m) {
    m.attr("toolkit") = "none";
    m.attr("architectures") = "host";
    m.def("driver", [] { return 0; });
    m.def("devices", [] { return py::make_tuple(1, ""); });
    m.def("capability", [](int) { return py::make_tuple(9, 0); });
    m.def("neighbours", [](bool with_barrier, unsigned blocks, unsigned rows, address stream) {
        std::vector<double> out(rows * blocks * Neighbours::threads);
        start_alone({blocks, rows}, Neighbours::threads * sizeof(double),
                    Neighbours{with_barrier, out.data()}, stream);
        return out;
    });
    m.def("order", [](unsigned blocks, unsigned rows, address stream) {
        std::vector<unsigned> out;
        start_alone({blocks, rows}, 0, Order{&out}, stream);
        return out;
    });
    m.def("total", [](unsigned blocks, address stream) {
        double out = 0;
        start_alone({blocks, 1}, Total::threads / warp_size * sizeof(double), Total{&out}, stream);
        return out;
    });
    m.def("sum_of_parts", [](const std::vector<double>& parts, address stream) {
        double out = 0;
        const SumPass pass(parts.data(), 1, static_cast<index_t>(parts.size()), &out);
        start_alone(pass.grid(), pass.shared_bytes, pass, stream);
        return out;
    });
    m.def("deadlock", [](address stream) { start_alone({1, 1}, 0, Deadlock{}, stream); });
    m.def("overflow", [](address stream) {
        start_alone({1, 1}, (Overflow::threads - 1) * sizeof(float), Overflow{}, stream);
    });
}

}  // namespace enfilt::cuda::bindings
