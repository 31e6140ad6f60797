// The module with what tests need: see src/worker/testing.rs.
import * as bindings from "bindings";
import { object } from "./module.mjs";

export { AgentObject, DirectoryObject, SequencerObject, default } from "./module.mjs";

export const TestingObject = object(bindings.TestingObject);
export const FaultyAgent = object(bindings.FaultyAgent);
export const FaultyDirectory = object(bindings.FaultyDirectory);
export const FaultySequencer = object(bindings.FaultySequencer);
