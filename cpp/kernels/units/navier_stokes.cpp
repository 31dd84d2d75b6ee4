// The model of a flow in a plane.
#include <enfilt/navier_stokes.hpp>

ENFILT_OPEN

template void navier_stokes(const NavierStokesProblem<float>&);
template void navier_stokes(const NavierStokesProblem<double>&);

ENFILT_CLOSE
