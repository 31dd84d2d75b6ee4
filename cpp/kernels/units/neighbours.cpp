// Which observations are near which places.
#include <enfilt/neighbours.hpp>

ENFILT_OPEN

// those of the header are inline: these make them functions of the library
void near_pairs(const NearPairs& p) { find_near(p); }
void taper_pairs(const TaperPairs& p) { taper_near(p); }

ENFILT_CLOSE
