/** Every kind of source keeps to the suite. */

import { githubApi } from "../helpers/github.ts";
import { endpointPlace, gistPlace, lanPlace, userPlace, webPlace } from "../helpers/places.ts";
import { discoverySuite } from "../suites/discovery_suite.ts";

discoverySuite("an address", endpointPlace);
discoverySuite("a Gist", gistPlace, githubApi);
discoverySuite("a GitHub user", userPlace, githubApi);
discoverySuite("a web server", webPlace);
discoverySuite("the local network", lanPlace);
