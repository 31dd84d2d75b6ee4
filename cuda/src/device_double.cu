#include <enfilt_cuda/device_launcher.hpp>
#include <enfilt_cuda/operations.hpp>

template struct enfilt::cuda::Kernels<double>;
