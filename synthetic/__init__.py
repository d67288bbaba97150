"""Synthetic citizens and what is sent about them: for `sundbro demo`, the benchmarks and the journeys.

Nobody here exists. Person numbers follow the test pattern DDMMYY-99nn; the same seed gives the same citizens and the
same messages, apart from the time of day, which comes from the clock that is passed in.

    citizens = Citizens(seed=1, count=1000)
    Hospital(citizens, clock).adt()          ADT^A01, A08, A02, A03: stays, many at once, in order for each citizen
    Laboratory(citizens, clock).results()    ORU^R01 of about 4 kB, 15 NPU-coded results
    Home(citizens, clock).batches(100)       KIH-style JSON, a hundred readings each
    Municipality(citizens, clock).notifications(), .observations()     MedCom FHIR messages

All of these are endless iterators of bytes, fast enough that a load driver never waits for them.
"""

from synthetic.citizens import Citizen, Citizens
from synthetic.home import Home
from synthetic.hospital import Hospital
from synthetic.laboratory import Laboratory
from synthetic.municipal import Municipality

__all__ = ["Citizen", "Citizens", "Home", "Hospital", "Laboratory", "Municipality"]
