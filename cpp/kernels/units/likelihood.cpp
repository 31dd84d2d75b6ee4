// Misfits and Gram matrices of observed ensembles.
#include <enfilt/likelihood.hpp>

ENFILT_OPEN

template void misfit(const float* x, index_t members, index_t dim, const Observed<float>&,
                     double* out);
template void misfit(const double* x, index_t members, index_t dim, const Observed<double>&,
                     double* out);
template void anomaly_grams(const float* x, index_t members, index_t dim, const Observed<float>&,
                            double* states, double* observed);
template void anomaly_grams(const double* x, index_t members, index_t dim, const Observed<double>&,
                            double* states, double* observed);

ENFILT_CLOSE
