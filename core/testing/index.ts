/**
 * Kafka in tests: a broker in this process within milliseconds, the laws of what others may implement, and whole clusters
 * simulated under a seed. docs/testing.md shows the first two, docs/simulation.md the third.
 *
 * @module
 */
export * as TestBroker from "./TestBroker.ts"
export * from "./laws/index.ts"

// -- a cluster under a seed ---------------------------------------------------------------------------------------
export { type SimBroker, type SimBrokerState } from "./SimBroker.ts"
export { type SimClient } from "./SimClient.ts"
export { NotReached, SIM_CONFIGS, SimCluster, type SimClusterOptions, type SimResult, simulate } from "./SimCluster.ts"
export { type RunOptions, Sim, SimLimit, type SimOptions } from "./Sim.ts"
export { type SimHost } from "./SimHost.ts"
export { type SimLinkOptions } from "./SimLink.ts"
export { type SimMetadataStore, type StoreFaults } from "./SimMetadataStore.ts"
export { type SimNetwork } from "./SimNetwork.ts"
export { ProcessKilled, SimProcess, type SimProcessState } from "./SimProcess.ts"
export { SimRandom } from "./SimRandom.ts"
export { Trace, type TraceLine } from "./Trace.ts"

// -- what goes wrong, what must hold all the same, and what happened ---------------------------------------------------
export * from "./Faults.ts"
export { drawFaults, drawLossyLinks, drawThrottles, type FaultGround } from "./FaultsDrawn.ts"
export { FaultInjector, type FaultInjectorOptions } from "./FaultsInjector.ts"
export * from "./History.ts"
export { check as checkHistory, type CheckOptions, type Violation, type ViolationKind } from "./Checker.ts"
export * from "./Invariants.ts"
export type * from "./InvariantsSnapshot.ts"
export { type RenderOptions, Timeline, type TimelineEntry, type TimelineKind } from "./Timeline.ts"
export { shrink, type Shrunk } from "./Shrink.ts"

// -- a whole run by a seed: `npm run simulate` --------------------------------------------------------------------------
export * from "./Scenario.ts"
export { runScenario, type ShrunkSimulation, shrinkFailure, type SimulationFailure, type SimulationOptions, type SimulationResult } from "./Simulation.ts"
export { noCounters, type SimulationCounters } from "./SimulationObserver.ts"
export { renderFailure, replayLine } from "./SimulationReport.ts"
