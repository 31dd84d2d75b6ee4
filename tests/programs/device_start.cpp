// Prints what the runtime is asked to start: by itself, and as a node of a graph.
#include "../../cuda/src/device_start.cpp"

#include <cstdio>

static void print(const char* how, dim3 blocks, dim3 threads, std::size_t shared_bytes) {
    std::printf("%s %u %u %u, %u, %zu\n", how, blocks.x, blocks.y, blocks.z, threads.x,
                shared_bytes);
}
cudaError_t cudaLaunchKernel(const void*, dim3 blocks, dim3 threads, void**, std::size_t bytes,
                             cudaStream_t) {
    print("alone", blocks, threads, bytes);
    return cudaSuccess;
}
cudaError_t cudaGraphCreate(cudaGraph_t*, unsigned) { return cudaSuccess; }
cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t*, cudaGraph_t, const cudaGraphNode_t*,
                                   std::size_t, const cudaKernelNodeParams* node) {
    print("made", node->gridDim, node->blockDim, node->sharedMemBytes);
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t*, cudaGraph_t, unsigned long long) {
    return cudaSuccess;
}
cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t, cudaGraphNode_t,
                                             const cudaKernelNodeParams* node) {
    print("changed", node->gridDim, node->blockDim, node->sharedMemBytes);
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t) { return cudaSuccess; }
cudaError_t cudaGraphDestroy(cudaGraph_t) { return cudaSuccess; }

int main() {
    using namespace enfilt::cuda;
    const Launch launch{"kernel", {5, 3, 7}, 128, 4096, {}};
    start(launch, 0);
    Executable graph({launch});
    graph.change(0, launch);
}
