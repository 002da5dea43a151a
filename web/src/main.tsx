// Entry point of the page.
import { render } from "solid-js/web";
import "./style/tokens.css";
import "./style/base.css";
import "./style/header.css";
import "./style/overview.css";
import "./style/table.css";
import "./style/details.css";
import "./style/node.css";
import "./style/admin.css";
import "./style/phone.css";
import { App } from "./components/app";

const root = document.getElementById("root");
if (root) render(() => <App />, root);
