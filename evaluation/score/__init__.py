"""From folders of pictures to tables and a page: features, scores, summaries."""
