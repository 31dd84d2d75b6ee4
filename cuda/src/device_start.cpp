// Kernels and graphs on CUDA streams; nothing here waits for the device.
#include <cuda_runtime_api.h>

#include <enfilt_cuda/errors.hpp>
#include <enfilt_cuda/graphs.hpp>

namespace enfilt::cuda {

namespace {

cudaStream_t stream_of(std::uintptr_t stream) { return reinterpret_cast<cudaStream_t>(stream); }

// A kernel has one argument, its body, which CUDA copies.
struct Argument {
    void* pointers[1];
    explicit Argument(const Launch& launch)
        : pointers{const_cast<std::byte*>(launch.body.data())} {}
};

dim3 blocks_of(const Launch& launch) {
    return {launch.grid.blocks, launch.grid.rows, launch.grid.ensembles};
}

cudaKernelNodeParams node_of(const Launch& launch, Argument& argument) {
    cudaKernelNodeParams node{};
    node.func = const_cast<void*>(launch.kernel);
    node.gridDim = blocks_of(launch);
    node.blockDim = dim3(launch.threads);
    node.sharedMemBytes = static_cast<unsigned>(launch.shared_bytes);
    node.kernelParams = argument.pointers;
    return node;
}

}  // namespace

void start(const Launch& launch, std::uintptr_t stream) {
    Argument argument(launch);
    check(cudaLaunchKernel(launch.kernel, blocks_of(launch), dim3(launch.threads),
                           argument.pointers, launch.shared_bytes, stream_of(stream)),
          "starting a kernel");
}

struct Executable::State {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    std::vector<cudaGraphNode_t> nodes;

    ~State() {  // what still runs is freed when it is done
        if (executable) (void)cudaGraphExecDestroy(executable);
        if (graph) (void)cudaGraphDestroy(graph);
    }
};

Executable::Executable(const std::vector<Launch>& launches) : state_(std::make_unique<State>()) {
    State& s = *state_;
    check(cudaGraphCreate(&s.graph, 0), "making a graph");
    for (const Launch& launch : launches) {
        Argument argument(launch);
        const cudaKernelNodeParams node = node_of(launch, argument);
        cudaGraphNode_t made = nullptr;
        check(cudaGraphAddKernelNode(&made, s.graph, s.nodes.empty() ? nullptr : &s.nodes.back(),
                                     s.nodes.empty() ? 0 : 1, &node),
              "adding a kernel to a graph");
        s.nodes.push_back(made);
    }
    check(cudaGraphInstantiate(&s.executable, s.graph, 0), "making a graph executable");
}

Executable::~Executable() = default;

void Executable::change(std::size_t node, const Launch& launch) {
    Argument argument(launch);
    const cudaKernelNodeParams changed = node_of(launch, argument);
    check(cudaGraphExecKernelNodeSetParams(state_->executable, state_->nodes[node], &changed),
          "changing a kernel of a graph");
}

void Executable::start(std::uintptr_t stream) {
    check(cudaGraphLaunch(state_->executable, stream_of(stream)), "starting a graph");
}

}  // namespace enfilt::cuda
