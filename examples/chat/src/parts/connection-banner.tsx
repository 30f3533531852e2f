/** Tells how the connection is, when it is not well. */

import type { Client } from "@tidings/client";
import { useEffect, useRef, useState } from "preact/hooks";
import { type Banner, bannerOf, type Health, healthAfter, healthAtFirst } from "../banner.ts";
import { useClientState } from "../client-state.ts";
import { useNow } from "../observed.ts";
import { outboxMessages } from "../outbox.ts";

export function ConnectionBanner({ client }: { readonly client: Client }) {
  const state = useClientState(client);
  const health = useRef<Health>(healthAtFirst(Date.now()));
  const [matters, setMatters] = useState(true);
  const now = useNow(250, matters);
  health.current = healthAfter(health.current, state, now);
  const banner = bannerOf(health.current, state, outboxMessages(client).length, now);
  // While all is well nothing here has to look at the clock.
  const mattersNow = state.status !== "connected" || banner.status !== "hidden";
  useEffect(() => setMatters(mattersNow), [mattersNow]);
  const isProblem = banner.status === "failed" || banner.status === "signed-out";
  return (
    <div class={`banner banner-${banner.status}`} data-testid="banner" data-status={banner.status}>
      <span role={isProblem ? "alert" : "status"}>
        {banner.status === "hidden" ? "" : banner.text}
      </span>
      <WhatNext banner={banner} client={client} />
    </div>
  );
}

function WhatNext({ banner, client }: { readonly banner: Banner; readonly client: Client }) {
  const connect = () => {
    client.connect().catch(() => {
      // The state says what is wrong, and this banner shows it.
    });
  };
  switch (banner.status) {
    case "hidden":
    case "connecting":
    case "connected":
      return null;
    case "offline":
      return (
        <>
          {/* A count that changes each second is not for listening to. */}
          <span aria-hidden="true">
            {banner.retryInSeconds > 0
              ? `Trying again in ${banner.retryInSeconds} s.`
              : "Trying now…"}
          </span>
          <button type="button" onClick={connect}>
            Try now
          </button>
        </>
      );
    case "signed-out":
    case "failed":
      return (
        <button type="button" onClick={connect}>
          {banner.status === "failed" ? "Try again" : "Sign in again"}
        </button>
      );
  }
}
