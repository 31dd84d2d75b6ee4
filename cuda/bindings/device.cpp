// What the CUDA runtime says of driver and devices.
#include <cuda_runtime_api.h>

#include <enfilt_cuda/errors.hpp>

#include <string>
#include <utility>

#include "arguments.hpp"

namespace enfilt::cuda::bindings {

void register_device(py::module_& m) {
    m.attr("toolkit") =
        std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10);
    m.attr("architectures") = ENFILT_CUDA_ARCHITECTURES;
    // 0 without a driver
    m.def("driver", [] {
        int version = 0;
        return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
    });
    // (major, minor)
    m.def("capability", [](int device) {
        int major = 0, minor = 0;
        check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
              "asking for the compute capability");
        check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device),
              "asking for the compute capability");
        return std::make_pair(major, minor);
    });
    // how many there are, and what the runtime says where there is none
    m.def("devices", [] {
        int count = 0;
        const cudaError_t status = cudaGetDeviceCount(&count);
        if (status == cudaSuccess) return std::make_pair(count, std::string());
        (void)cudaGetLastError();  // it would be told to the next who asks
        return std::make_pair(0, std::string(cudaGetErrorString(status)));
    });
}

}  // namespace enfilt::cuda::bindings
