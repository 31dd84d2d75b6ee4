#include <enfilt_cuda/host_launcher.hpp>
#include <enfilt_cuda/operations.hpp>

template struct enfilt::cuda::Kernels<float>;
template struct enfilt::cuda::Kernels<double>;
