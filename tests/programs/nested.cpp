// Kernels called from a caller's own parallel region, with settings under which their loops would
// start threads of their own: each call gets what one outside of any region gets.
#include <enfilt/letkf.hpp>
#include <enfilt/lorenz96.hpp>
#include <enfilt/scores.hpp>
#include <omp.h>

#include <cmath>
#include <cstdio>
#include <vector>

using namespace enfilt;

namespace {

constexpr index_t members = 8, dim = 5000;

std::vector<float> ensemble() {
    std::vector<float> x(members * dim);
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = std::sin(0.7f * static_cast<float>(i % 1009)) + static_cast<float>(i / dim);
    return x;
}

std::vector<float> analysis(const std::vector<float>& x) {
    const std::vector<float> y(dim, 1.0f);
    const float precision = 4.0f;
    Observed<float> observed;
    observed.size = dim;
    observed.y = y.data();
    observed.precision = &precision;
    const std::int64_t offsets[] = {0, -1, 0, 0, 0, 1};
    const double rho[] = {0.5, 1.0, 0.5};
    std::vector<float> out(x.size());
    LetkfWindow<float> p;
    p.members = members, p.dim = dim, p.x = x.data(), p.out = out.data();
    p.columns = dim, p.before[1] = p.behind[1] = 1;
    p.count = 3, p.offsets = offsets, p.rho = rho, p.observed = &observed;
    letkf_window(p);
    Lorenz96Problem<float> model;
    model.rows = members, model.dim = dim, model.steps = 3, model.dt = 0.01, model.forcing = 8;
    model.x = out.data(), model.out = out.data();
    lorenz96(model);
    EnsembleSums sums;
    double to_members[members * members], to_truth[members];
    std::int64_t ranks[members + 1];
    ScoreProblem<float> scores;
    scores.members = members, scores.dim = dim, scores.x = out.data(), scores.truth = y.data();
    scores.sums = &sums, scores.to_members = to_members, scores.to_truth = to_truth;
    scores.ranks = ranks;
    ensemble_scores(scores);
    out.push_back(static_cast<float>(sums.crps));
    return out;
}

}  // namespace

int main() {
    const std::vector<float> x = ensemble(), expected = analysis(x);
    int wrong = 0;
    omp_set_max_active_levels(3);
#pragma omp parallel num_threads(4) reduction(+ : wrong)
    wrong += analysis(x) != expected;
    std::printf("%d of 4 differ\n", wrong);
    return wrong;
}
