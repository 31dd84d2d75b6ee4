// Scores of an ensemble against a truth.
#include <enfilt/scores.hpp>

ENFILT_OPEN

template void ensemble_scores(const ScoreProblem<float>&);
template void ensemble_scores(const ScoreProblem<double>&);

ENFILT_CLOSE
