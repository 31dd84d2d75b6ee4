// Prints how many blocks run at a time, and each question of the runtime's.
#include <enfilt_cuda/occupancy.hpp>

#include <cstdio>

static int device_now = 0;
cudaError_t cudaGetDevice(int* device) { return *device = device_now, cudaSuccess; }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int device) {
    *value = which == cudaDevAttrMultiProcessorCount ? (device == 0 ? 132 : 10) : 2048;
    return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int threads,
                                                          std::size_t shared_bytes) {
    std::printf("asked %d %zu\n", threads, shared_bytes);
    *blocks = static_cast<int>(100000 / shared_bytes);
    return cudaSuccess;
}

int main() {
    enfilt::cuda::Occupancy known;
    for (const int device : {0, 1, 0}) {
        device_now = device;
        for (const std::size_t bytes : {20000, 50000, 200000, 20000})
            std::printf("%td\n", known.blocks("kernel", 128, bytes));
    }
    std::printf("%td\n", enfilt::cuda::threads_at_once());
}
