// The model Lorenz-96.
#include <enfilt/lorenz96.hpp>

ENFILT_OPEN

template void lorenz96(const Lorenz96Problem<float>&);
template void lorenz96(const Lorenz96Problem<double>&);

ENFILT_CLOSE
