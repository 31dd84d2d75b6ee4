// The score filters' samplers.
#include <enfilt/diffusion.hpp>

ENFILT_OPEN

template void diffusion_analysis(const DiffusionProblem<float>&);
template void diffusion_analysis(const DiffusionProblem<double>&);

ENFILT_CLOSE
