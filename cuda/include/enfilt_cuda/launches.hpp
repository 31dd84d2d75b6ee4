// Kernels to be started: an operation writes them down, and the stream gets them afterwards, one by
// one or as one graph (graphs.hpp).
#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>
#include <vector>

#include "platform.hpp"

namespace enfilt::cuda {

struct Launch {
    const void* kernel;  // what kernel_of() says
    Grid grid;
    unsigned threads;
    std::size_t shared_bytes;
    std::vector<std::byte> body;  // a copy

    // All but the body.
    bool has_shape_of(const Launch& other) const {
        return kernel == other.kernel && grid.blocks == other.grid.blocks &&
               grid.rows == other.grid.rows && grid.ensembles == other.grid.ensembles &&
               threads == other.threads && shared_bytes == other.shared_bytes;
    }
};

// What runs a body on this machine; of device_launcher.hpp or host_launcher.hpp.
template <class Body>
const void* kernel_of(std::size_t shared_bytes);

// How many blocks of a body run at a time on the machine, and how many threads of whatever body:
// grids follow from it. Of either launcher.
template <class Body>
index_t blocks_at_once(std::size_t shared_bytes);
index_t threads_at_once();

class Launches {
  public:
    template <class Body>
    void operator()(Grid grid, std::size_t shared_bytes, const Body& body) {
        static_assert(std::is_trivially_copyable_v<Body>);
        static_assert(alignof(Body) <= alignof(std::max_align_t));
        static_assert(sizeof(Body) <= 4096, "the arguments of a kernel, with every driver");
        Launch launch{kernel_of<Body>(shared_bytes), grid, Body::threads, shared_bytes,
                      std::vector<std::byte>(sizeof body)};
        std::memcpy(launch.body.data(), &body, sizeof body);
        all.push_back(std::move(launch));
    }

    std::vector<Launch> all;
};

// Of device_start.cpp or host_start.cpp. The stand-in for a stream on the host: 0 runs threads
// ascending, anything else descending.
void start(const Launch&, std::uintptr_t stream);

}  // namespace enfilt::cuda
