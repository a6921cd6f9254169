/** The module inspector's page: its script fills it. */
export const PAGE = `<header class="summary"><h1 id="title">Module</h1><span id="facts" class="comment"></span></header>
<p id="error" class="error" role="alert" hidden></p>
<div class="layout">
  <nav>
    <div role="tablist" aria-label="Parts of the module" id="parts"></div>
    <input id="filter" type="search" placeholder="Filter" aria-label="Filter">
    <div id="list" class="list" role="listbox" tabindex="0" aria-label="Contents"></div>
  </nav>
  <main>
    <h2 id="selected" class="selected"></h2>
    <div class="columns">
      <div class="column"><h3>WAT</h3><div id="wat" class="rows" tabindex="0" role="list" aria-label="WAT"></div></div>
      <div class="column"><h3>x86-64</h3><div id="native" class="rows" tabindex="0" role="list" aria-label="x86-64"></div></div>
    </div>
    <p id="note" class="note"></p>
  </main>
</div>`;
