// Errors of the CUDA runtime as exceptions.
#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

namespace enfilt::cuda {

inline void check(cudaError_t status, const char* what) {
    if (status == cudaSuccess) return;
    (void)cudaGetLastError();  // it would be told to the next who asks
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

}  // namespace enfilt::cuda
