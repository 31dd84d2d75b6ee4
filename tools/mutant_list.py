"""Places that `tools/mutants.py` breaks: kernels and filters, one wrong line each.

A mutant is a line of code and what it is made into, and the tests that could see it. Each is wrong
in a way that a hurried hand might be: a factor, a sign, a bound off by one, a tail or a mask left
out, a counter that does not count, a path that only some sizes, dtypes or options take.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """One wrong line.

    Attributes
    ----------
    name : str
        What is wrong, in a few words.
    path : str
        The file, from the root of the repository.
    old, new : str
        `old` stands there once, and becomes `new`.
    tests : str
        Arguments of pytest: the files that could see it, and ``-k`` with the backend.
    """

    name: str
    path: str
    old: str
    new: str
    tests: str


def _cpp(name: str, file: str, old: str, new: str, tests: str) -> Mutant:
    return Mutant(f"cpp: {name}", f"cpp/include/enfilt/{file}", old, new, _tests(tests, "cpp"))


def _math(name: str, file: str, old: str, new: str, tests: str) -> Mutant:
    path = f"cpp/include/enfilt/math/{file}"
    files = _tests(f"{tests} cuda_kernels", "cpp or ascending")
    return Mutant(f"math: {name}", path, old, new, files)


def _numba(name: str, file: str, old: str, new: str, tests: str) -> Mutant:
    path = f"python/enfilt/backends/numba/{file}"
    return Mutant(f"numba: {name}", path, old, new, _tests(tests, "numba"))


def _cuda(name: str, file: str, old: str, new: str, tests: str = "") -> Mutant:
    path = f"cuda/include/enfilt_cuda/{file}"
    return Mutant(f"cuda: {name}", path, old, new, _tests("cuda_kernels cuda_backend", tests))


def _python(name: str, file: str, old: str, new: str, tests: str) -> Mutant:
    return Mutant(f"python: {name}", f"python/enfilt/{file}", old, new, _tests(tests))


def _tests(files: str, selected: str = "") -> str:
    paths = " ".join(f"tests/test_{name}.py" for name in files.split())
    return f'{paths} -k "{selected}"' if selected else paths


_CPP = [
    _cpp(
        "a chunk's sums are left out of a total",
        "blocks.hpp",
        "for (index_t c = 0; c < chunks_; ++c)\n",
        "for (index_t c = 0; c < chunks_ - (chunks_ > 2); ++c)\n",
        "kernels_pairwise enff_backends metrics",
    ),
    _math(
        "the errors of all observations are that of the first",
        "observed.hpp",
        "obs.precision[obs.precision_varies ? k : 0] : T(0)};",
        "obs.precision[0] : T(0)};",
        "enff_backends ensf letkf lenff_backends",
    ),
    _math(
        "an index at the beginning of a block is passed over",
        "observed.hpp",
        "if (obs.indices[middle] < d)",
        "if (obs.indices[middle] <= d)",
        "enff_backends ensf letkf lenff_backends",
    ),
    _cpp(
        "a run of observations is taken to begin at the first component",
        "observed.hpp",
        "obs.stride == 1 && obs.offset <= first &&",
        "obs.stride == 1 && obs.offset <= first + 1 &&",
        "enff_backends ensf letkf lenff_backends",
    ),
    _cpp(
        "the last vector of an odd number is not mixed",
        "tiles.hpp",
        "for (; d < n; d += lanes) {\n                vec_t<T> sum[tile_rows] = {};",
        "for (; d + lanes < n; d += lanes) {\n                vec_t<T> sum[tile_rows] = {};",
        "kernels_pairwise enff_backends",
    ),
    _cpp(
        "a row of weights counts as one-hot too soon",
        "tiles.hpp",
        "sizeof(float) ? 1.4e-8 : 2.7e-17;",
        "sizeof(float) ? 1.4e-4 : 2.7e-13;",
        "kernels_pairwise enff_backends ensf",
    ),
    _cpp(
        "what a one-hot row picks lacks the earlier ensemble",
        "flow.hpp",
        "c0 = static_cast<T>(form.c0);",
        "c0 = T(0);",
        "enff_backends",
    ),
    _cpp(
        "Heun's corrector takes all of the second slope",
        "flow.hpp",
        "put(d, T(0.5) * (at(d) + arrived + dt * f));",
        "put(d, T(0.5) * (at(d) + arrived) + dt * f);",
        "enff_backends",
    ),
    _cpp(
        "a start is drawn about the member of its own number",
        "flow.hpp",
        "const T* centre = r.centre + (p_.start ? p_.start[i] : i) * blocks_.stride;",
        "const T* centre = r.centre + i * blocks_.stride;",
        "enff_backends",
    ),
    _cpp(
        "the gain moves the ensemble's mean twice",
        "flow.hpp",
        "for (index_t j = 0; j < n_; ++j) w[j] -= mean;",
        "for (index_t j = 0; j < n_; ++j) w[j] -= 0 * mean;",
        "enff_backends enff_limits",
    ),
    _math(
        "what is not observed pulls where h overflows",
        "guidance.hpp",
        "return A::select(weight > T(0), pull, A::broadcast(T(0)));",
        "return pull;",
        "filter_backends enff_backends ensf",
    ),
    _cpp(
        "few components: the second stage of Heun is the first again",
        "flow_low_dim.hpp",
        "follow(guidance, k + 1, ahead_);",
        "follow(guidance, k, ahead_);",
        "enff_backends",
    ),
    _cpp(
        "few components: the largest logit is not looked for in the last lane",
        "low_dim.hpp",
        "for (index_t l = 1; l < lanes; ++l) high =",
        "for (index_t l = 1; l + 1 < lanes; ++l) high =",
        "kernels_pairwise enff_backends ensf",
    ),
    _cpp(
        "normals do not depend on the batch",
        "philox.hpp",
        "w[3][part] = stream.batch - words64{};",
        "w[3][part] = 0u - words64{};",
        "kernels_pairwise enff_backends ensf",
    ),
    _cpp(
        "the end of a member's normals comes from its beginning",
        "philox.hpp",
        "for (index_t d = low; d < high; ++d) out[begin + d] = normals[d];",
        "for (index_t d = low; d < high; ++d) out[begin + d] = normals[d - low];",
        "kernels_pairwise ensf",
    ),
    _cpp(
        "starts are standardized by N",
        "normals.hpp",
        "freedom = static_cast<T>(members - 1);",
        "freedom = static_cast<T>(members);",
        "ensf reduced",
    ),
    _math(
        "a score is clipped from above alone",
        "reverse_update.hpp",
        "score = A::select(score < low, low, score);",
        "score = A::select(score < T(4) * low, low, score);",
        "ensf",
    ),
    _cpp(
        "distances to the centres of the step before",
        "diffusion.hpp",
        "if (!last) measure(k + 1, chunk, first, n, r);",
        "if (!last) measure(k, chunk, first, n, r);",
        "ensf filter_backends",
    ),
    _cpp(
        "a tile's halo is too short behind it",
        "lorenz96.hpp",
        "const index_t halo = below * steps, width = n + (below + above) * steps;",
        "const index_t halo = below * steps, width = n + (below + above - 1) * steps;",
        "lorenz96",
    ),
    _cpp(
        "passes of long rows write into what they read",
        "lorenz96.hpp",
        "to_own ? spare.get() + pass % 2 * together * p.dim : out;",
        "to_own ? spare.get() : out;",
        "lorenz96",
    ),
    _cpp(
        "a member equal to the truth counts as below it",
        "scores.hpp",
        "below += select<T>(difference < T(0), broadcast<T>(T(1)), vec_t<T>{});",
        "below += select<T>(difference <= T(0), broadcast<T>(T(1)), vec_t<T>{});",
        "metrics",
    ),
    _cpp(
        "the misfit counts missing observations",
        "likelihood.hpp",
        "sum += select<T>(w > T(0), w * miss * miss, vec_t<T>{});",
        "sum += w * miss * miss;",
        "enff_backends particle operators filter_backends",
    ),
    _cpp(
        "an odd number of rows is short of the last",
        "navier_stokes.hpp",
        "t < count + (rows + 1) / 2;",
        "t < count + rows / 2;",
        "navier_stokes",
    ),
    _cpp(
        "an odd rest of iterations leaves the planes exchanged",
        "navier_stokes.hpp",
        "if (count % 2) std::swap(p[0], p[1]);",
        "if (count == 1) std::swap(p[0], p[1]);",
        "navier_stokes",
    ),
    _cpp(
        "precise observations are analysed in float32",
        "local_analysis.hpp",
        "!(trace <= 512);",
        "!(trace <= 1e30);",
        "letkf",
    ),
    _cpp(
        "what is not observed is not rotated",
        "local_analysis.hpp",
        "e_.out[at] = seen[l] || e_.rotation",
        "e_.out[at] = seen[l]",
        "letkf",
    ),
    _cpp(
        "long lists repeat their first observations",
        "letkf.hpp",
        "l < count ? p.starts[first + l] + from + s : 0;",
        "l < count ? p.starts[first + l] + s : 0;",
        "letkf",
    ),
    _cpp(
        "a sum of products drops the third of a rest of three",
        "inverse_root.hpp",
        "if (j + 2 < n) sum[2] +=",
        "if (j + 3 < n) sum[2] +=",
        "letkf",
    ),
    _cpp(
        "the place opposite on a ring counts twice",
        "lenff_taps.hpp",
        "if (twice[axis]) weight /= 2;",
        "if (twice[axis]) weight /= 1;",
        "lenff_backends lenff lenff_options",
    ),
    _cpp(
        "a line's blocks know too little about them for the steps",
        "lenff_line.hpp",
        "const index_t far = 2 * reach * p.steps;",
        "const index_t far = 2 * reach * (p.steps - 1);",
        "lenff_backends lenff",
    ),
    _cpp(
        "the second row of a group misses its farthest",
        "lenff_sweep.hpp",
        "const index_t count = find(first - reach, first + group + reach);",
        "const index_t count = find(first - reach, first + 1 + reach);",
        "lenff_backends lenff",
    ),
    _math(
        "what is zero to rounding moves members",
        "lenff.hpp",
        "A::select(b > lenff_least<T>,",
        "A::select(b >= T(0) * lenff_least<T>,",
        "lenff_backends lenff lenff_options",
    ),
    _cpp(
        "a row of a grid skips a column in front of its continuation",
        "lenff_grid.hpp",
        "body(c, column, n);\n            c += n;",
        "body(c, column, n);\n            c += n + 1;",
        "lenff_backends lenff",
    ),
    _cpp(
        "sums over lists take N for N - 1",
        "lenff_lists.hpp",
        "share_(1.0 / static_cast<double>(n_ - 1))",
        "share_(1.0 / static_cast<double>(n_))",
        "lenff_lists lenff_options",
    ),
    _cpp(
        "reduced form: distances forget the drift of the centres",
        "reduced.hpp",
        "if (r == drift()) factor -= s.a0;",
        "if (r == drift()) factor -= 0 * s.a0;",
        "reduced",
    ),
    _cpp(
        "reduced form: the last of a group's components is not written",
        "reduced.hpp",
        "for (index_t k = 0; k < count; ++k) to[order[k]] = from[k];",
        "for (index_t k = 0; k + 1 < count; ++k) to[order[k]] = from[k];",
        "reduced",
    ),
]

_NUMBA = [
    _numba(
        "Heun's corrector is Euler's second step",
        "flow.py",
        "row[d] = half * (state[d] + row[d])",
        "row[d] = row[d]",
        "enff_backends",
    ),
    _numba(
        "the corrector has the weights of the predictor",
        "flow.py",
        "weights.append(self._weigh(k + 1))",
        "weights.append(weights[0])",
        "enff_backends",
    ),
    _numba(
        "the gain moves the ensemble's mean twice",
        "flow.py",
        "w + change - change.mean(axis=1, keepdims=True)",
        "w + change",
        "enff_backends",
    ),
    _numba(
        "what is not observed pulls where h overflows",
        "flow.py",
        "f[d] += g if weight[d] > 0 else kind(0)",
        "f[d] += g",
        "filter_backends enff_backends",
    ),
    _numba(
        "noise of the step before",
        "diffusion.py",
        "draw = np.uint64(k + 1)",
        "draw = np.uint64(k)",
        "ensf",
    ),
    _numba(
        "an observation at the beginning of a block is passed over",
        "observed.py",
        "(first - offset + stride - 1) // stride",
        "(first - offset + stride) // stride",
        "enff_backends ensf",
    ),
    _numba(
        "the last group of a block has no normals",
        "philox.py",
        "(first + n + _GROUP - 1) // _GROUP):",
        "(first + n) // _GROUP):",
        "ensf",
    ),
    _numba(
        "the last rows of a mixture are left out",
        "blocks.py",
        "for j in range(0, weights.shape[1], 4):",
        "for j in range(0, weights.shape[1] - 3 - (weights.shape[1] > 8), 4):",
        "kernels_pairwise enff_backends",
    ),
    _numba(
        "what is not observed is not rotated",
        "letkf.py",
        "if not seen and rotation.size == 0:",
        "if not seen:",
        "letkf",
    ),
    _numba(
        "a band knows a unit too few of the one before",
        "lenff.py",
        "size, away = 2 * halo * cut.stride, cut.length * cut.stride",
        "size, away = (2 * halo - 1) * cut.stride, cut.length * cut.stride",
        "lenff_backends lenff",
    ),
    _numba(
        "sums over lists take N for N - 1",
        "lenff_lists.py",
        "factor = dx.dtype.type(rho[k] * share * dot)",
        "factor = dx.dtype.type(rho[k] * share * dot * (rows.shape[1] - 1) / rows.shape[1])",
        "lenff_lists lenff_options",
    ),
    _numba(
        "a tile's halo is too short behind it",
        "lorenz96.py",
        "before, behind = BELOW * steps, ABOVE * steps",
        "before, behind = BELOW * steps, ABOVE * steps - 1",
        "lorenz96",
    ),
    _numba(
        "an odd number of iterations leaves the one before",
        "navier_stokes.py",
        "if iterations % 2 == 1:",
        "if iterations % 2 == 2:",
        "navier_stokes",
    ),
    _numba(
        "reduced form: the second ensemble loses its mean to the first",
        "reduced.py",
        "row[k] -= kind(mean0[k])",
        "row[k] -= kind(mean[k])",
        "reduced",
    ),
]

_CUDA = [
    _cuda(
        "components behind the last whole slab are left out",
        "distances.hpp",
        "if (++held == folded || first + slab >= end) {",
        "if (++held == folded || first + 2 * slab >= end) {",
    ),
    _cuda(
        "as many tiles of members as of points",
        "distances.hpp",
        "const index_t across = divide_up(members.count, tile);",
        "const index_t across = divide_up(points, tile);",
    ),
    _cuda(
        "three of four rows decide whether all are one-hot",
        "small_pass.hpp",
        "if ((of.of[0] | of.of[1] | of.of[2] | of.of[3]) >= 0) {",
        "if ((of.of[0] | of.of[1] | of.of[2]) >= 0) {",
    ),
    _cuda(
        "weights of many members: the last is left out",
        "mix.hpp",
        "weights[e] = first + e % slab < terms ? weight(e / slab, first + e % slab) : T(0);",
        "weights[e] = first + e % slab + (first > 32) < terms ? "
        "weight(e / slab, first + e % slab) : T(0);",
    ),
    _cuda(
        "Heun's corrector takes all of the second slope",
        "advance.hpp",
        "return T(0.5) * (z[i * dim + d] + euler(what, i, d, ahead, pull));",
        "return euler(what, i, d, T(0.5) * (z[i * dim + d] + ahead), pull);",
    ),
    _cuda(
        "the third of four normals has the other angle",
        "random.hpp",
        "return place / philox_lanes % 2 == 0 ? first : second;",
        "return place < philox_lanes ? first : second;",
    ),
    _cuda(
        "starts are standardized by N",
        "random.hpp",
        "std::sqrt(squares / static_cast<T>(members - 1));",
        "std::sqrt(squares / static_cast<T>(members));",
    ),
    _cuda(
        "long schedules repeat the normals of their first pass",
        "paired.hpp",
        "normals(first_step + k + 1, c.ensemble()).quad(i, quad, xi);",
        "normals(k + 1, c.ensemble()).quad(i, quad, xi);",
    ),
    _cuda(
        "a block's tile is written too far",
        "lorenz96.hpp",
        "return width - (before + behind) * steps; }",
        "return width - (before + behind) * steps + (steps > 1); }",
    ),
    _cuda(
        "beyond the edge of a grid's row stands the next",
        "letkf.hpp",
        "} else if (row < 0 || row >= p.rows || column < 0 || column >= p.columns) {",
        "} else if (row < 0 || row >= p.rows || column < 0 || column > p.columns) {",
    ),
    _cuda(
        "long lists are read past their end",
        "letkf.hpp",
        "index_t at = k < end ? sees.place(d, k) : -1;",
        "index_t at = k < end - (end > from + 2 * slab) ? sees.place(d, k) : -1;",
    ),
    _cuda(
        "the last of a group of four does not move",
        "lenff.hpp",
        "if (q >= group.count) continue;\n                    const index_t at",
        "if (q + 1 >= group.count && q > 1) continue;\n                    const index_t at",
    ),
    _cuda(
        "more than a block of observations a list: the rest is left out",
        "lenff_lists.hpp",
        "for (index_t first = p.starts[d]; first < end; first += threads) {",
        "for (index_t first = p.starts[d]; first + threads < end || first == p.starts[d]; "
        "first += threads) {",
    ),
    _cuda(
        "reduced form: products beside the diagonal stand on one side of it",
        "reduced_gram.hpp",
        "if (row < at.spanned && column < row) put(c, place.group, column, row, total);",
        "if (row < at.spanned && column < row && row < tile) "
        "put(c, place.group, column, row, total);",
    ),
]

_PYTHON = [
    _python(
        "the taper counts its cutoff in",
        "localization/taper.py",
        "inside = d < self.cutoff  # also",
        "inside = d <= self.cutoff  # also",
        "localization letkf",
    ),
    _python(
        "a window of an even ring has the opposite place twice",
        "filters/neighbours.py",
        "before, behind = min(reach, (n - 1) // 2), min(reach, n // 2)",
        "before, behind = min(reach, n // 2), min(reach, n // 2)",
        "letkf lenff",
    ),
    _python(
        "the search for neighbours ends before the cutoff",
        "filters/neighbours.py",
        "period, radius, self._reach, most)",
        "period, radius, 0.95 * self._reach, most)",
        "kept_lists lenff_options letkf localization lenff_lists",
    ),
    _python(
        "systematic resampling shifts its points by no random number",
        "filters/particle.py",
        "points = (np.arange(members) + rng.random()) / members",
        "points = (np.arange(members) + 0.5) / members",
        "particle",
    ),
    _python(
        "the jitter has the plain covariance",
        "filters/particle.py",
        "root = np.sqrt(weights / left)[:, None]",
        "root = np.sqrt(1 / members / left)",
        "particle",
    ),
    _python(
        "the prior's pull is left out of the IEnKF",
        "filters/ienkf.py",
        "step = spectrum.power(-1) @ (innovation - (members - 1) * w)",
        "step = spectrum.power(-1) @ innovation",
        "iterative",
    ),
    _python(
        "the DEnKF halves nothing",
        "filters/enkf.py",
        "pull = innovation - gram / 2",
        "pull = innovation - gram",
        "kalman",
    ),
    _python(
        "localized EnKF: missing observations shift the errors of others",
        "filters/enkf.py",
        "std = np.broadcast_to(cycle.obs.r, cycle.y[b].shape)[seen]",
        "std = np.broadcast_to(cycle.obs.r, cycle.y[b].shape)[: len(seen)]",
        "kalman",
    ),
    _python(
        "a regression knows the last block of observed components alone",
        "filters/regression.py",
        "cross += (moved[:, block].astype(np.float64) - before) @ a.T",
        "cross = (moved[:, block].astype(np.float64) - before) @ a.T",
        "ensf",
    ),
    _python(
        "noise of SSLS fades as slowly as its drift",
        "filters/ssls.py",
        "_phi(-2 * lam * d))) * normals(k + 1)",
        "_phi(-lam * d))) * normals(k + 1)",
        "ssls",
    ),
    _python(
        "a chain of functions differentiates the outer one at x",
        "operators/base.py",
        "value, pull_outer = self.outer.linearize(between)",
        "value, pull_outer = self.outer.linearize(x[..., : between.shape[-1]])",
        "operators",
    ),
    _python(
        "the oracle's normals of all batches are those of the first",
        "backends/numpy/plain.py",
        "np.uint64(step), np.uint64(batch))",
        "np.uint64(step), np.uint64(0 * batch))",
        "kernels_pairwise",
    ),
    _python(
        "the oracle's covariances of lists take N for N - 1",
        "backends/numpy/lenff.py",
        "lists.weights[pairs] * products / (rows.shape[1] - 1)",
        "lists.weights[pairs] * products / rows.shape[1]",
        "lenff lenff_lists",
    ),
    _python(
        "RTPP relaxes away from the forecast",
        "backends/numpy/inflation.py",
        "return f - a\n",
        "return a - f\n",
        "inflation",
    ),
]

MUTANTS = [*_CPP, *_NUMBA, *_CUDA, *_PYTHON]
