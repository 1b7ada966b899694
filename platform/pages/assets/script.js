// What pages do beyond what a browser does by itself: lists that grow, a phone that speaks, files that are dropped, copying,
// sorting.
(() => {
  'use strict';
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // --- What is live -------------------------------------------------------------------------------------------------
  const live = document.querySelector('[data-live]');
  const list = document.querySelector('ol.payments[data-rows]');
  const clockOffset = live && live.dataset.now ? Number(live.dataset.now) - Date.now() : 0;

  const elementOf = (html) => {
    const template = document.createElement('template');
    template.innerHTML = html;
    return template.content.firstElementChild;
  };

  // A payment that the list has is replaced; a new one comes on top.
  const putPayment = (html) => {
    const fresh = elementOf(html);
    if (!fresh || !list) return;
    const known = document.getElementById(fresh.id);
    if (known) {
      const focused = known.contains(document.activeElement);
      known.replaceWith(fresh);
      if (focused) fresh.querySelector('a')?.focus();
    } else {
      fresh.classList.add('fresh');
      list.prepend(fresh);
      while (list.children.length > Number(list.dataset.rows)) list.lastElementChild.remove();
      say(fresh);
    }
  };

  const putPart = (html) => {
    const fresh = elementOf(html);
    const known = fresh && document.getElementById(fresh.id);
    if (known && known.innerHTML !== fresh.innerHTML && !known.contains(document.activeElement)) known.replaceWith(fresh);
  };

  // Reads the page again and takes its lists, after something may have been missed. Nothing old is spoken.
  const readAgain = async () => {
    const answer = await fetch(location.href, { headers: { accept: 'text/html' } });
    if (!answer.ok || answer.redirected) return location.reload();
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const newest = page.querySelector('ol.payments[data-rows]');
    if (list && newest) list.replaceChildren(...newest.children);
    for (const id of ['tiles', 'hours', 'attention', 'takings']) {
      const fresh = page.getElementById(id);
      if (fresh) document.getElementById(id)?.replaceWith(fresh);
    }
  };

  if (live && 'EventSource' in window) {
    const state = document.querySelector('.live-state');
    const tell = (word, isOn) => {
      if (!state) return;
      state.textContent = state.dataset[word];
      state.classList.toggle('on', isOn);
      state.classList.toggle('off', !isOn);
    };
    tell('connecting', false);
    const source = new EventSource(live.dataset.live);
    source.onopen = () => tell('liveWord', true);
    source.onerror = () => {
      tell('lost', false);
      // The server refused: the session is over, or there are too many viewers.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 10000);
    };
    source.addEventListener('payment', (event) => putPayment(event.data));
    source.addEventListener('part', (event) => putPart(event.data));
    source.addEventListener('resync', () => readAgain().catch(() => {}));
    source.addEventListener('ended', () => { source.close(); location.reload(); });
    addEventListener('pagehide', () => source.close());
    addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });
  }

  // --- A phone that is the box --------------------------------------------------------------------------------------
  const SPOKEN = 'soundbox.spoken';
  const TOO_OLD_MS = 5 * 60 * 1000;
  const speaker = document.querySelector('[data-speaker]');
  const toggle = speaker?.querySelector('input');

  const spokenBefore = (id) => {
    let spoken = [];
    try { spoken = JSON.parse(localStorage.getItem(SPOKEN) || '[]'); } catch { spoken = []; }
    if (spoken.includes(id)) return true;
    localStorage.setItem(SPOKEN, JSON.stringify([...spoken, id].slice(-300)));
    return false;
  };

  function say(payment) {
    const words = payment.dataset.say;
    if (!words || !toggle?.checked || !window.speechSynthesis) return;
    const age = Date.now() + clockOffset - Number(payment.dataset.at);
    if (age > TOO_OLD_MS || spokenBefore(payment.id)) return;
    const utterance = new SpeechSynthesisUtterance(words);
    utterance.lang = 'id-ID';
    window.speechSynthesis.speak(utterance);
  }

  if (speaker && toggle) {
    if (!window.speechSynthesis) {
      speaker.querySelector('small').textContent = speaker.dataset.mute;
      toggle.disabled = true;
    }
    speaker.hidden = false;
    let lock = null;
    toggle.addEventListener('change', async () => {
      if (!toggle.checked) { lock?.release(); return; }
      // Browsers let a page speak after it was touched; the screen stays on while it is the box.
      window.speechSynthesis?.speak(new SpeechSynthesisUtterance(''));
      try { lock = await navigator.wakeLock?.request('screen'); } catch { lock = null; }
    });
  }

  // --- A part that is read again while something in it is open ------------------------------------------------------
  const REFRESHES_MAX = 600;
  // A button that has the focus keeps it, if it is still there.
  const takePlace = (part, fresh) => {
    const held = part.contains(document.activeElement) ? document.activeElement : null;
    const action = held?.form?.getAttribute('action');
    const link = held?.getAttribute('href');
    part.replaceWith(fresh);
    if (action) fresh.querySelector(`form[action="${action}"] button`)?.focus();
    if (link) fresh.querySelector(`a[href="${link}"]`)?.focus();
  };
  const refresh = (id, left) => {
    const part = document.getElementById(id);
    if (!part?.dataset.refresh || left === 0) return;
    setTimeout(async () => {
      try {
        const answer = await fetch(part.dataset.from || location.href);
        if (answer.ok && !answer.redirected) {
          const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
          const fresh = page.getElementById(id);
          if (fresh) takePlace(part, fresh);
        }
      } catch { /* The next try may reach it. */ }
      refresh(id, left - 1);
    }, Number(part.dataset.refresh));
  };
  for (const part of all('[data-refresh]')) refresh(part.id, REFRESHES_MAX);

  // --- A form with a file: it may be dropped, and it stays chosen when the server refuses it ------------------------
  for (const form of all('form[data-upload]')) {
    const area = form.querySelector('.drop');
    const input = area.querySelector('input[type=file]');
    for (const name of ['dragenter', 'dragover']) {
      area.addEventListener(name, (event) => { event.preventDefault(); area.classList.add('over'); });
    }
    for (const name of ['dragleave', 'drop']) area.addEventListener(name, () => area.classList.remove('over'));
    area.addEventListener('drop', (event) => {
      event.preventDefault();
      if (event.dataTransfer.files.length > 0) input.files = event.dataTransfer.files;
    });
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      const button = form.querySelector('button');
      const word = button.textContent;
      button.textContent = form.dataset.upload;
      button.disabled = true;
      try {
        const answer = await fetch(form.action, { method: 'POST', body: new FormData(form) });
        if (answer.redirected) return location.assign(answer.url);
        const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
        const fresh = page.getElementById('upload-wrong');
        const known = document.getElementById('upload-wrong');
        if (fresh && fresh.childElementCount > 0) known.replaceWith(fresh);
        else known.replaceChildren(page.querySelector('main') ?? '');
      } catch { form.submit(); }
      button.textContent = word;
      button.disabled = false;
    });
  }

  // --- Copying ------------------------------------------------------------------------------------------------------
  for (const button of all('[data-copy]')) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent);
      button.lastChild.textContent = document.body.dataset.copied;
    });
  }

  // --- The entry of this page is seen in a menu that is longer than the screen ----------------------------------------
  document.querySelector('.menu [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });

  // --- Sorting the rows of a page -----------------------------------------------------------------------------------
  const keyOf = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const digits = text.replace(/[^\d-]/g, '');
    return row.cells[column].classList.contains('number') ? Number(digits || -1) : text;
  };
  for (const table of all('table[data-sort]')) {
    for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
      const button = document.createElement('button');
      button.type = 'button';
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener('click', () => {
        const isUp = head.getAttribute('aria-sort') !== 'ascending';
        all('th', table).forEach((other) => other.removeAttribute('aria-sort'));
        head.setAttribute('aria-sort', isUp ? 'ascending' : 'descending');
        const rows = [...table.tBodies[0].rows].sort((one, two) => {
          const [a, b] = [keyOf(one, column), keyOf(two, column)];
          return (a < b ? -1 : a > b ? 1 : 0) * (isUp ? 1 : -1);
        });
        table.tBodies[0].append(...rows);
      });
    }
  }
})();
