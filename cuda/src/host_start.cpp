// What the device does with kernels and graphs, for tests: they run at once.
#include <enfilt_cuda/graphs.hpp>
#include <enfilt_cuda/host_launcher.hpp>

namespace enfilt::cuda {

void start(const Launch& launch, std::uintptr_t stream) {
    const auto run = reinterpret_cast<HostKernel>(const_cast<void*>(launch.kernel));
    run(launch, stream != 0);
}

// Keeps its own copies, so that a node that should have been changed gives a wrong result.
struct Executable::State {
    std::vector<Launch> nodes;
};

Executable::Executable(const std::vector<Launch>& launches)
    : state_(std::make_unique<State>(State{launches})) {}

Executable::~Executable() = default;

void Executable::change(std::size_t node, const Launch& launch) { state_->nodes[node] = launch; }

void Executable::start(std::uintptr_t stream) {
    for (const Launch& launch : state_->nodes) cuda::start(launch, stream);
}

}  // namespace enfilt::cuda
