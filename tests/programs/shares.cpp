// How kernels share out their work: the tasks of each for 20 members of float32, and the largest
// share of a thread over an even one, at some sizes and numbers of threads. Prints lines of
// "kernel D threads tasks share". Loops over blocks of components tell of themselves, and do
// nothing; other kernels' cuts are made here as they make them.
#include <cstddef>

namespace {
std::ptrdiff_t chunks_seen = 0, chunk_seen = 0;
void look(std::ptrdiff_t chunks, std::ptrdiff_t chunk) { chunks_seen = chunks, chunk_seen = chunk; }
}  // namespace
#define ENFILT_DRY_RUN(chunks, chunk) look(chunks, chunk)

#include <enfilt/enfilt.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

using namespace enfilt;

namespace {

constexpr index_t members = 20, taper = 12;
constexpr double cutoff_of_plane = 6;

index_t dim, threads;

// Tasks of `size` components each, of `all` in turn.
void show(const char* kernel, index_t tasks, index_t size, index_t all) {
    const index_t turns = (tasks + threads - 1) / threads;
    double largest = static_cast<double>(turns) * static_cast<double>(size);
    if (largest > static_cast<double>(all)) largest = static_cast<double>(all);
    const double even = static_cast<double>(all) / static_cast<double>(threads);
    std::printf("%s\t%td\t%td\t%td\t%.3f\n", kernel, dim, threads, tasks, largest / even);
}

// What the loops over blocks of a kernel told last.
void show(const char* kernel) { show(kernel, chunks_seen, chunk_seen, dim); }

void blocks_of_components() {
    // pages of this are never touched
    std::vector<float> none(1);
    const float* x = none.data();
    const std::vector<Stage> stages(2, Stage{0, 1, 1, 0, 1, 0, 1, 1});
    Observed<float> observed;
    observed.size = dim;
    observed.y = observed.precision = x;

    FlowProblem<float> flow;
    flow.members = members, flow.dim = dim, flow.steps = 1, flow.stages = stages.data();
    flow.x1 = flow.x0 = x, flow.z = none.data(), flow.observed = &observed;
    flow_analysis(flow);
    show("EnFF");

    const DiffusionStep step{};
    DiffusionProblem<float> diffusion;
    diffusion.members = members, diffusion.dim = dim, diffusion.steps = 1, diffusion.x1 = x;
    diffusion.x = none.data(), diffusion.schedule = &step, diffusion.observed = &observed;
    diffusion_analysis(diffusion);
    show("EnSF, mixture");
    diffusion.paired = true;
    diffusion_analysis(diffusion);
    show("EnSF, paired");

    const ReducedStage reduced_stage{};
    const ReducedMap map{};
    const double precision = 1;
    ReducedProblem<float> reduced;
    reduced.members = members, reduced.dim = dim, reduced.steps = 1, reduced.x1 = reduced.x0 = x;
    reduced.z = none.data(), reduced.stages = &reduced_stage, reduced.maps = &map;
    reduced.precisions = &precision;
    reduced_analysis(reduced);
    show("reduced form");

    double sums[(members + 1) * (members + 1)];
    PairwiseProblem<float> pairs;
    pairs.points = pairs.members = members, pairs.dim = dim, pairs.x = pairs.x1 = x;
    pairs.squared_distances = sums;
    squared_distances(pairs);
    show("pairwise distances");
    pairs.out = none.data();
    pairwise_field(pairs);
    show("pairwise field");
    misfit(x, members, dim, observed, sums);
    show("misfit");
    double more[members * members];
    anomaly_grams(x, members, dim, observed, sums, more);
    show("Gram matrices of anomalies");

    EnsembleSums scores;
    double to_truth[members];
    std::int64_t ranks[members + 1];
    ScoreProblem<float> score;
    score.members = members, score.dim = dim, score.x = score.truth = x, score.sums = &scores;
    score.to_members = sums, score.to_truth = to_truth, score.ranks = ranks;
    ensemble_scores(score);
    show("scores");
}

void windows() {
    Observed<float> observed;
    std::vector<std::int64_t> offsets;
    std::vector<double> rho;
    for (index_t k = -taper + 1; k < taper; ++k) {
        offsets.insert(offsets.end(), {0, k});
        rho.push_back(1);
    }
    LenffWindow<float> line;
    line.members = members, line.dim = line.columns = dim, line.steps = 10;
    line.count = static_cast<index_t>(rho.size()), line.offsets = offsets.data();
    line.rho = rho.data(), line.observed = &observed;
    const lenff_detail::LineCut<float> cut(line, taper - 1, threads);
    show("LEnFF, line", cut.blocks, cut.length, dim);
    LetkfWindow<float> lines;
    lines.columns = dim;
    const TileLayout<float> tiles(lines, threads);
    show("LETKF, line", tiles.tiles(lines), tiles.rows * tiles.columns, dim);

    const index_t side = static_cast<index_t>(std::sqrt(static_cast<double>(dim)));
    offsets.clear();
    rho.clear();
    const index_t reach = static_cast<index_t>(cutoff_of_plane) - 1;
    for (index_t r = -reach; r <= reach; ++r)
        for (index_t c = -reach; c <= reach; ++c) {
            offsets.insert(offsets.end(), {r, c});
            rho.push_back(1);
        }
    LenffWindow<float> plane = line;
    plane.rows = plane.columns = side, plane.dim = side * side;
    plane.count = static_cast<index_t>(rho.size());
    plane.offsets = offsets.data(), plane.rho = rho.data();
    using S = lenff_detail::Sweep<float, false>;
    const lenff_detail::Taps<float> taps(plane, false);
    const lenff_detail::GridCut<float> grid(plane, S::head(taps) + S::tail(taps), taps.reach,
                                            threads);
    show("LEnFF, plane", grid.tasks(), grid.rows * grid.columns, side * side);
    LetkfWindow<float> planes;
    planes.rows = planes.columns = side;
    const TileLayout<float> layout(planes, threads);
    show("LETKF, plane", layout.tiles(planes), layout.rows * layout.columns, side * side);
}

void models() {
    std::vector<float> none(1);
    Lorenz96Problem<float> ring;
    ring.rows = members, ring.dim = dim, ring.steps = 10, ring.x = none.data();
    using Cut = lorenz96_detail::RowCut<float>;
    const index_t together = Cut(ring, threads).together;
    const index_t in_all = together * Cut::tiles(ring, ring.steps);
    show("Lorenz-96", in_all, Cut::tile(ring.steps), together * dim);
    const index_t n = static_cast<index_t>(std::sqrt(static_cast<double>(dim) / 3));
    const navier_stokes_detail::SlabCut slabs(members, n, threads);
    show("Navier-Stokes", members * slabs.slabs, slabs.rows * n, members * n * n);
}

}  // namespace

int main() {
    for (index_t d : {10'000, 100'000, 1'000'000, 10'000'000}) {
        for (int t : {1, 16, 64, 128}) {
            dim = d, threads = t;
            omp_set_num_threads(t);
            blocks_of_components();
            windows();
            models();
        }
    }
}
