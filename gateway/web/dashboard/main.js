// The dashboard's beginning: all elements, then the frame that shows the page of the address.

import "./shell.js";
import "./overview.js";
import "./stream.js";
import "./start.js";
import "./jobs.js";
import "./job.js";
import "./access.js";
import "./docs.js";

document.body.append(document.createElement("rg-shell"));
