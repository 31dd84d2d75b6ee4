// What is no filter and no model: normals, a scan for finiteness, a measure of the bandwidth.
#include <enfilt/finite.hpp>
#include <enfilt/normals.hpp>
#include <enfilt/triad.hpp>

ENFILT_OPEN

template <class T>
void normals(std::uint64_t key, std::uint32_t batch, std::uint32_t step, index_t members,
             index_t dim, T* out) {
    constexpr index_t piece = 1 << 11;
    const index_t pieces = (dim + piece - 1) / piece, tasks = members * pieces;
    const index_t before = current_share() ? current_share()->first : 0;
    Team(tasks, members * dim > 16384).for_each(tasks, [&](int, index_t task) {
        const index_t member = task / pieces, first = task % pieces * piece;
        philox_normals({key, batch, step}, static_cast<std::uint32_t>(member), before + first,
                       dim - first < piece ? dim - first : piece, out + member * dim + first);
    });
}

template void normals(std::uint64_t key, std::uint32_t batch, std::uint32_t step, index_t members,
                      index_t dim, float* out);
template void normals(std::uint64_t key, std::uint32_t batch, std::uint32_t step, index_t members,
                      index_t dim, double* out);
template bool all_finite(const float* x, index_t n);
template bool all_finite(const double* x, index_t n);
template void triad(const float* a, const float* b, float k, index_t n, float* c);
template void triad(const double* a, const double* b, double k, index_t n, double* c);

ENFILT_CLOSE
