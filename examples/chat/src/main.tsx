/** The chat's page: begins here. */

import "./style.css";
import { render } from "preact";
import { App } from "./parts/app.tsx";
import { continueSession } from "./session.ts";

const page = document.getElementById("page");
if (page === null) {
  throw new Error("index.html has no element #page");
}
render(<App />, page);
await continueSession();
