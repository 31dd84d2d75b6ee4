// The same kernel bodies on the CPU, for tests: blocks run one after the other in a shuffled order,
// the threads of a block as fibers that switch at barriers.
//
// Between two barriers the threads of a block run one after the other, in ascending order or, with
// `descending`, the other way round: a body that lacks a barrier reads what was not yet written in
// one of the two. Shared memory holds NaN when a block starts, and has a guarded end.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "launches.hpp"

namespace enfilt::cuda {

// The threads of a block: call() runs them all to their end.
class Fibers {
  public:
    using Body = void (*)(void* argument, unsigned thread);

    Fibers();
    ~Fibers();
    Fibers(const Fibers&) = delete;
    Fibers& operator=(const Fibers&) = delete;

    // Throws where threads wait for others that have ended or wait elsewhere.
    void call(unsigned threads, bool descending, Body body, void* argument);

    // From within a body: wait for all threads of the block, or of this thread's warp.
    void sync_block();
    void sync_warp(unsigned thread);

    // A number a lane that shuffles go through.
    double* exchange(unsigned thread);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

class HostContext {
  public:
    HostContext(Fibers& fibers, void* shared, Grid grid, unsigned block, unsigned row,
                unsigned ensemble, unsigned thread)
        : fibers_(fibers), shared_(shared), grid_(grid), block_(block), row_(row),
          ensemble_(ensemble), thread_(thread) {}

    unsigned thread() const { return thread_; }
    unsigned block() const { return block_; }
    unsigned blocks() const { return grid_.blocks; }
    unsigned row() const { return row_; }
    unsigned rows() const { return grid_.rows; }
    unsigned ensemble() const { return ensemble_; }
    void prefetch(const void*) const {}
    template <class U>
    U* shared() const {
        return static_cast<U*>(shared_);
    }
    void sync() const { fibers_.sync_block(); }
    template <class U>
    U shuffle_down(U value, unsigned lanes) const {
        static_assert(sizeof(U) <= sizeof(double));
        std::memcpy(fibers_.exchange(thread_), &value, sizeof value);
        fibers_.sync_warp(thread_);
        if (thread_ % warp_size + lanes < warp_size)
            std::memcpy(&value, fibers_.exchange(thread_ + lanes), sizeof value);
        fibers_.sync_warp(thread_);
        return value;
    }
    template <class U>
    void add(U* to, U value) const {
        *to += value;
    }

  private:
    Fibers& fibers_;
    void* shared_;
    Grid grid_;
    unsigned block_, row_, ensemble_, thread_;
};

// One for all kernels that a thread runs, as its stacks are large.
inline Fibers& fibers_of_this_thread() {
    static thread_local Fibers fibers;
    return fibers;
}

// All numbers below `count`, far from their order: steps of some golden section of them.
struct Shuffled {
    std::uint64_t count, step;

    Shuffled(std::uint64_t n, bool backward) : count(n) {
        const double section = static_cast<double>(n) * (backward ? 0.381966 : 0.618034);
        step = static_cast<std::uint64_t>(section) | 1;
        while (std::gcd(step, n) != 1) step += 2;
    }
    std::uint64_t operator()(std::uint64_t k) const { return (count / 2 + k * step) % count; }
};

using HostKernel = void (*)(const Launch&, bool descending);

template <class Body>
void run_on_host(const Launch& launch, bool descending) {
    static_assert(Body::threads % warp_size == 0);
    Fibers& fibers = fibers_of_this_thread();
    constexpr std::size_t guard = 64;
    constexpr unsigned char poison = 0xff;  // a NaN in every floating type
    const Grid grid = launch.grid;
    const std::size_t shared_bytes = launch.shared_bytes;
    std::vector<double> memory((shared_bytes + guard) / sizeof(double) + 1);
    auto* bytes = reinterpret_cast<unsigned char*>(memory.data());
    struct Call {
        const Body* body;
        Fibers* fibers;
        void* shared;
        Grid grid;
        unsigned block, row, ensemble;
    } call{reinterpret_cast<const Body*>(launch.body.data()), &fibers, memory.data(), grid, 0, 0, 0};
    const auto run = [](void* argument, unsigned thread) {
        const Call& now = *static_cast<Call*>(argument);
        HostContext context(*now.fibers, now.shared, now.grid, now.block, now.row, now.ensemble,
                            thread);
        (*now.body)(context);
    };
    const std::uint64_t of_each = std::uint64_t{grid.blocks} * grid.rows;
    const Shuffled blocks(of_each * grid.ensembles, descending);
    for (std::uint64_t k = 0; k < blocks.count; ++k) {
        const std::uint64_t at = blocks(k);
        call.block = static_cast<unsigned>(at % grid.blocks);
        call.row = static_cast<unsigned>(at % of_each / grid.blocks);
        call.ensemble = static_cast<unsigned>(at / of_each);
        std::memset(bytes, poison, shared_bytes + guard);
        fibers.call(Body::threads, descending, run, &call);
        for (std::size_t g = shared_bytes; g < shared_bytes + guard; ++g)
            if (bytes[g] != poison)
                throw std::runtime_error("a kernel wrote beyond its shared memory");
    }
}

// Few, so that blocks take several rounds.
template <class Body>
index_t blocks_at_once(std::size_t) {
    return 3;
}
inline index_t threads_at_once() { return 3 * 128; }

template <class Body>
const void* kernel_of(std::size_t) {
    return reinterpret_cast<const void*>(static_cast<HostKernel>(&run_on_host<Body>));
}

}  // namespace enfilt::cuda
