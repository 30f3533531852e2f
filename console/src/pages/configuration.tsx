/** Every setting with the value in force; secrets are not told. */

import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { Configuration } from "../api/types.ts";
import { Answer } from "../parts/notices.tsx";
import { Head, Section } from "../parts/small.tsx";
import { Table } from "../parts/table.tsx";
import { type Setting, settingsOf, settingText } from "../setting.ts";
import { useLoaded } from "../state/loaded.ts";
import { useShared } from "../state/shared.ts";

/** The configuration. */
export function ConfigurationPage(): VNode {
  const { api } = useShared();
  const [wanted, setWanted] = useState("");
  const { state, reload } = useLoaded((signal) => api.configuration(signal), []);
  return (
    <>
      <Head
        title="Configuration"
        about="Every key with the value in force. Secrets are not told. It is read when the server starts."
      />
      <div class="search">
        <label>
          <span>Keys that contain</span>
          <input
            type="search"
            value={wanted}
            onInput={(event) => setWanted(event.currentTarget.value)}
          />
        </label>
      </div>
      <Answer state={state} reload={reload}>
        {({ config }) => <Tables config={config} wanted={wanted} />}
      </Answer>
    </>
  );
}

function Tables(props: { readonly config: Configuration; readonly wanted: string }): VNode {
  const shown = Object.entries(props.config)
    .map(([name, value]) => ({
      name,
      settings: settingsOf(name, value).filter((setting) => setting.name.includes(props.wanted)),
    }))
    .filter(({ settings }) => settings.length > 0);
  if (shown.length === 0) return <p class="quiet">No key contains “{props.wanted}”.</p>;
  return (
    <>
      {shown.map(({ name, settings }) => (
        <Section key={name} title={name}>
          <Settings name={name} settings={settings} />
        </Section>
      ))}
    </>
  );
}

function Settings(props: { readonly name: string; readonly settings: readonly Setting[] }): VNode {
  return (
    <div class="settings">
      <Table
        caption={`Settings of ${props.name}`}
        rows={props.settings}
        keyOf={(row) => row.name}
        columns={[
          { title: "Key", kind: "long", of: (row) => <code>{row.name}</code> },
          { title: "Value", kind: "long", of: (row) => <Value setting={row} /> },
        ]}
      />
    </div>
  );
}

function Value(props: { readonly setting: Setting }): VNode {
  const text = settingText(props.setting.value);
  return text === undefined ? <span class="quiet">not set</span> : <code>{text}</code>;
}
