-- What walls, dashboards and analysts read. The tables behind may change; these keep their names and columns.
-- FINAL is inside; a key never changes its partition, so each is collapsed by itself. Their definer reads the tables:
-- whoever may only read views (readonly_user.sql) sees what they show and no more.
CREATE OR REPLACE VIEW {database}.v_signals SQL SECURITY DEFINER AS
SELECT
    signal_id, version, version = 0 AS late, source, revision, occurred_at, reported_at, received_at, ingested_at,
    category, category1, category_code, severity, state, relation, related_id, flags, quality, unit_cell, street,
    district, cells, incident_id, opens,
    hasAny(flags, ['secret', 'sensitive']) AS hidden,
    if(hasAny(flags, ['secret', 'sensitive']), NULL, lon) AS shown_lon,
    if(hasAny(flags, ['secret', 'sensitive']), NULL, lat) AS shown_lat,
    if(hasAny(flags, ['secret', 'sensitive']), '', place_key) AS shown_place_key,
    if(hasAny(flags, ['secret', 'sensitive']), '', address) AS shown_address,
    if(hasAny(flags, ['secret', 'sensitive']), '', summary) AS shown_summary
FROM {database}.signals FINAL SETTINGS do_not_merge_across_partitions_select_final = 1;

-- The signals of a cell (drill-down), masked when they were written.
CREATE OR REPLACE VIEW {database}.v_cell_signals SQL SECURITY DEFINER AS
SELECT
    unit_cell, occurred_at, reported_at, signal_id, version, source, category, severity, state, incident_id,
    place_key, address, summary
FROM {database}.signals_by_cell FINAL SETTINGS do_not_merge_across_partitions_select_final = 1;

-- The signals of an address; secret and sensitive ones are left out.
CREATE OR REPLACE VIEW {database}.v_address_signals SQL SECURITY DEFINER AS
SELECT
    place_key, occurred_at, reported_at, signal_id, version, source, category, severity, state, incident_id, unit_cell
FROM {database}.signals_by_address FINAL WHERE NOT hidden
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_incidents SQL SECURITY DEFINER AS
SELECT
    incident_id, version, state, opened_at, last_at, category, category1, unit_cell, street, district, cells,
    messages, reporters, sources, severity, merged_into
FROM {database}.incidents FINAL SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_grid_counts SQL SECURITY DEFINER AS
SELECT layer, minutes, pane_start, category, cell, messages, incidents, opened, reporters, state, version
FROM {database}.grid_counts FINAL SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_hotspots SQL SECURITY DEFINER AS
SELECT * FROM {database}.hotspots FINAL SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_hotspots_now SQL SECURITY DEFINER AS
SELECT * FROM {database}.hotspots_now FINAL SETTINGS do_not_merge_across_partitions_select_final = 1;

-- Two steps: the narrow inner query finds what is open, the outer one reads the wide rows of those alone.
CREATE OR REPLACE VIEW {database}.v_hotspots_open SQL SECURITY DEFINER AS
SELECT * FROM {database}.hotspots_now FINAL
WHERE (opened_at, hotspot_id) IN (
    SELECT opened_at, hotspot_id FROM {database}.hotspots_now FINAL WHERE state IN ('open', 'cooling')
)
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_repeats SQL SECURITY DEFINER AS
SELECT
    * EXCEPT (address, place_key), if(hidden, '', address) AS address, if(hidden, '', place_key) AS place_key
FROM {database}.repeat_clusters FINAL SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_repeats_open SQL SECURITY DEFINER AS
SELECT
    * EXCEPT (address, place_key), if(hidden, '', address) AS address, if(hidden, '', place_key) AS place_key
FROM {database}.repeat_clusters_now FINAL
WHERE (opened_at, cluster_id) IN (
    SELECT opened_at, cluster_id FROM {database}.repeat_clusters_now FINAL WHERE state = 'open'
)
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_alerts SQL SECURITY DEFINER AS
SELECT * FROM {database}.alerts FINAL SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_alerts_open SQL SECURITY DEFINER AS
SELECT * FROM {database}.alerts_now FINAL
WHERE (opened_at, alert_id) IN (
    SELECT opened_at, alert_id FROM {database}.alerts_now FINAL WHERE state = 'open'
)
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW {database}.v_feeds SQL SECURITY DEFINER AS
SELECT
    source, max(last_occurred) AS last_occurred, max(last_reported) AS last_reported,
    max(last_ingested) AS last_ingested
FROM {database}.feed_last GROUP BY source;

CREATE OR REPLACE VIEW {database}.v_feed_health SQL SECURITY DEFINER AS
SELECT * FROM {database}.feed_health FINAL SETTINGS do_not_merge_across_partitions_select_final = 1;

-- Dead letters without their bytes, which may hold anything.
CREATE OR REPLACE VIEW {database}.v_rejected SQL SECURITY DEFINER AS
SELECT source, topic, partition, offset, reason, detail, length(raw) AS bytes, received_at, ingested_at
FROM {database}.rejected FINAL;

CREATE OR REPLACE VIEW {database}.v_runs SQL SECURITY DEFINER AS
SELECT id, started_at, finished_at, arguments, manifest FROM {database}.runs FINAL;
