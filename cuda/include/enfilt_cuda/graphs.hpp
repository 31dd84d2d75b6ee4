// Whole operations as CUDA graphs.
//
// An operation whose kernels come a second time, with the same grids, is kept as an executable
// graph; from the third time on only the nodes whose arguments differ (addresses, keys of random
// numbers) are changed before it is started. So a graph follows the sizes and not the arrays.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "launches.hpp"

namespace enfilt::cuda {

// Kernels one after the other, as the machine takes them in one go.
class Executable {
  public:
    explicit Executable(const std::vector<Launch>&);
    ~Executable();
    Executable(const Executable&) = delete;
    Executable& operator=(const Executable&) = delete;

    void change(std::size_t node, const Launch&);
    void start(std::uintptr_t stream);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// The graphs of one device.
class Graphs {
  public:
    static constexpr std::size_t fewest_kernels = 4;  // fewer are started one by one
    static constexpr std::size_t most = 32;           // the least recently used one goes

    struct Counts {
        std::size_t built = 0, changed = 0, started = 0;
    };

    void start(std::vector<Launch>, std::uintptr_t stream);
    Counts counts() const;

  private:
    struct Kept {
        std::vector<Launch> launches;
        std::unique_ptr<Executable> graph;
    };

    std::vector<Kept>::iterator find(const std::vector<Launch>&);

    mutable std::mutex mutex_;
    std::vector<Kept> kept_;  // the most recently used one last
    Counts counts_;
};

}  // namespace enfilt::cuda
