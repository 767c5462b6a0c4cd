/** Panels of a Grafana dashboard, held by Grafana's own types. */
import type { FieldConfig, GraphFieldConfig, Panel, RowPanel, ValueMapping } from '@grafana/schema';
import type { Options as StatOptions } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type { Options as TimelineOptions } from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type { Options as SeriesOptions } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

/** As a type is in JSON: a member of an enum is its text. */
export type Json<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Json<T[K]> } : T;

/** A query, and what its series are called. */
export type Query = readonly [expr: string, legend: string];

/** A threshold is a colour from a value on; the first is for everything below. */
type Steps = readonly [first: string, ...more: readonly (readonly [from: number, colour: string])[]];

type Look = {
  readonly unit?: string;
  readonly steps?: Steps;
  readonly max?: number;
  readonly stacked?: boolean;
  readonly mappings?: Json<ValueMapping>[];
  /** What a number shows: itself and its name, or its name alone. */
  readonly textMode?: 'auto' | 'name';
  /** Of the 24 columns. */
  readonly width?: number;
};

export const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };

const COLUMNS = 24;
const [STAT_HEIGHT, GRAPH_HEIGHT] = [4, 8];

/** One number now for each series, with how it went. */
export function stat(title: string, description: string, queries: readonly Query[], look: Look = {}): Panel {
  const options = {
    colorMode: look.steps || look.mappings ? 'value' : 'none',
    graphMode: 'area',
    justifyMode: 'auto',
    orientation: 'auto',
    percentChangeColorMode: 'standard',
    reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
    showPercentChange: false,
    textMode: look.textMode ?? 'auto',
    wideLayout: true,
  } satisfies Json<StatOptions>;
  return panel('stat', title, description, queries, { ...look, height: STAT_HEIGHT, width: look.width ?? 4 }, options);
}

/** Lines over time. */
export function series(title: string, description: string, queries: readonly Query[], look: Look = {}): Panel {
  const options = {
    legend: { calcs: ['lastNotNull', 'max'], displayMode: 'table', placement: 'bottom', showLegend: true },
    tooltip: { mode: 'multi', sort: 'desc' },
  } satisfies Json<SeriesOptions>;
  const custom = {
    drawStyle: 'line',
    fillOpacity: look.stacked === true ? 25 : 8,
    lineWidth: 1,
    showPoints: 'never',
    spanNulls: false,
    stacking: { group: 'A', mode: look.stacked === true ? 'normal' : 'none' },
    thresholdsStyle: { mode: look.steps ? 'line' : 'off' },
  } satisfies Json<GraphFieldConfig>;
  return panel('timeseries', title, description, queries, { width: 8, ...look, height: GRAPH_HEIGHT }, options, custom);
}

/** A bar for each series, coloured by its state. */
export function states(title: string, description: string, queries: readonly Query[], look: Look): Panel {
  const options = {
    alignValue: 'left',
    legend: { calcs: [], displayMode: 'list', placement: 'bottom', showLegend: false },
    mergeValues: true,
    rowHeight: 0.85,
    showValue: 'auto',
    tooltip: { mode: 'single', sort: 'none' },
  } satisfies Json<TimelineOptions>;
  return panel('state-timeline', title, description, queries, { width: 12, ...look, height: GRAPH_HEIGHT }, options, {
    fillOpacity: 75,
    lineWidth: 0,
  });
}

/** What a number stands for. */
export function words(texts: Readonly<Record<number, readonly [text: string, colour: string]>>): Json<ValueMapping>[] {
  const options = Object.entries(texts).map(([value, [text, color]], index) => [value, { text, color, index }]);
  return [{ type: 'value', options: Object.fromEntries(options) as Record<string, object> }];
}

function panel(
  type: string,
  title: string,
  description: string,
  queries: readonly Query[],
  { unit = 'short', steps, max, mappings = [], width, height }: Look & { width: number; height: number },
  options: object,
  custom: object = {},
): Panel {
  const [first = 'green', ...more] = steps ?? [];
  const defaults = {
    color: { mode: type === 'timeseries' ? 'palette-classic' : 'thresholds' },
    custom: { ...custom },
    mappings,
    min: 0,
    thresholds: {
      mode: 'absolute',
      steps: [{ color: first, value: null }, ...more.map(([value, color]) => ({ color, value }))],
    },
    unit,
    ...(max !== undefined && { max }),
  } satisfies Json<FieldConfig>;
  const targets = queries.map(([expr, legendFormat], i) => ({
    datasource: DATASOURCE,
    editorMode: 'code',
    expr,
    legendFormat,
    range: true,
    refId: String.fromCodePoint('A'.codePointAt(0)! + i),
  }));
  return {
    type,
    title,
    description,
    datasource: DATASOURCE,
    fieldConfig: { defaults: defaults as FieldConfig, overrides: [] },
    gridPos: { x: 0, y: 0, w: width, h: height },
    options: { ...options },
    targets,
  };
}

/** Lays the panels of each row out from left to right, and numbers them. */
export function rows(titled: Readonly<Record<string, readonly Panel[]>>): (Panel | RowPanel)[] {
  let [id, y] = [0, 0];
  return Object.entries(titled).flatMap(([title, panels]) => {
    const head: RowPanel = {
      type: 'row',
      id: ++id,
      title,
      collapsed: false,
      gridPos: grid(0, y, COLUMNS, 1),
      panels: [],
    };
    let [x, height] = [0, 0];
    y += 1;
    const placed = panels.map((one): Panel => {
      const { w = 0, h = 0 } = one.gridPos ?? {};
      if (x + w > COLUMNS) [x, y, height] = [0, y + height, 0];
      const gridPos = grid(x, y, w, h);
      [x, height] = [x + w, Math.max(height, h)];
      return { id: ++id, ...one, gridPos };
    });
    y += height;
    return [head, ...placed];
  });
}

function grid(x: number, y: number, w: number, h: number): { x: number; y: number; w: number; h: number } {
  return { x, y, w, h };
}
