// Prints what kernels are allowed of shared memory, "kernel device bytes" a call to the runtime.
#include <enfilt_cuda/shared_memory.hpp>

#include <cstdio>

static int device_now = 0;
cudaError_t cudaGetDevice(int* device) { return *device = device_now, cudaSuccess; }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int device) {
    *value = device == 0 ? 232448 : 101376;
    return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value) {
    std::printf("%s %d %d\n", static_cast<const char*>(kernel), device_now, value);
    return cudaSuccess;
}

int main() {
    enfilt::cuda::SharedMemory first("first"), second("second");
    for (const int device : {0, 1, 0}) {
        device_now = device;
        for (const std::size_t bytes : {1000, 60000, 90000, 50000}) first.allow(bytes);
        second.allow(48 * 1024);
    }
    second.allow(50000);
}
